// Types of testing.js.

export interface StartOptions {
  /**
   * Path of the server's binary. By default CALLBOX_BIN, `callbox` in PATH, or
   * `target/release/callbox` or `target/debug/callbox` in the working directory or one above it.
   */
  binary?: string;
  /** The server tells clients to use the relay alone (`--force-relay`). */
  forceRelay?: boolean;
  /** The server injects the faults that `faults()` asks for (`--allow-faults`). */
  allowFaults?: boolean;
  /**
   * Options of `callbox serve` by name, such as `{ maxLifetime: '60s' }` or
   * `{ 'max-lifetime': '60s' }`; an array for one that may be given more than once. The server's
   * docs/configuration.md lists them.
   */
  options?: Record<string, string | number | boolean | readonly (string | number)[] | null | undefined>;
  /** Time limit for the start in milliseconds; 20 seconds by default. */
  startTimeoutMs?: number;
  /** Is called with each piece of the server's log. */
  onLog?: (text: string) => void;
}

export interface TokenOptions {
  /** The name that people are shown. */
  name?: string;
  /** The time for which the token is valid, in seconds; an hour by default. */
  ttl?: number;
  /** The restrictions of the token: its claim `callbox`, as the server's docs/protocol.md has it. */
  grants?: {
    call?: string[];
    presence?: string[];
    rooms?: string[];
    block?: string[];
    maxCalls?: number;
    relay?: boolean;
  };
}

/** An `RTCIceServer` of browsers. */
export interface IceServer {
  urls: string[];
  username?: string;
  credential?: string;
}

/** An `RTCConfiguration` of browsers. */
export interface IceConfig {
  iceServers: IceServer[];
  /** With `forceRelay`. */
  iceTransportPolicy?: 'relay';
}

export interface TurnCredentials {
  username: string;
  password: string;
  /** The time for which they open allocations, in seconds. */
  ttl: number;
  /** The addresses of the relay, as `turn:` URIs. */
  uris: string[];
}

/** An error in an answer of the REST API. */
export interface ApiError extends Error {
  code: string;
  status: number;
}

/** The users and calls that a fault is for; all without it. */
export interface FaultSelector {
  userId?: string;
  callId?: string;
}

/** Faults that a server injects: the document of the server's docs/faults.md. */
export interface Faults {
  seed?: number;
  packets?: {
    for?: FaultSelector;
    direction?: 'up' | 'down' | 'both';
    lossPercent?: number;
    delayMs?: number;
    jitterMs?: number;
    reorderPercent?: number;
    duplicatePercent?: number;
    bandwidthKbps?: number;
  }[];
  requests?: {
    for?: FaultSelector;
    method: 'binding' | 'allocate' | 'refresh' | 'createPermission' | 'channelBind' | 'connect' | 'connectionBind';
    answer: 401 | 437 | 438 | 486 | 508 | 'silence';
    count: number;
  }[];
  events?: {
    for?: FaultSelector;
    event: string;
    effect: 'drop' | 'delay' | 'duplicate';
    delayMs?: number;
    count?: number;
  }[];
  actions?: (
    | { action: 'expireCredentials' | 'dropAllocations' | 'cutSession' | 'halfOpenSession'; for?: FaultSelector }
    | { action: 'relayGone'; forMs: number }
    | { action: 'stallSession'; for?: FaultSelector; forMs: number }
  )[];
}

/** The faults in force, and the numbers of faults that were injected since the server started. */
export interface FaultReport {
  seed: number;
  packets: object[];
  requests: object[];
  events: object[];
  relayGone: boolean;
  /** In the answer to a document with actions: the allocations or sessions that each concerned. */
  actions?: { action: string; affected: number }[];
  injected: {
    packetsLost: number;
    packetsDelayed: number;
    packetsReordered: number;
    packetsDuplicated: number;
    packetsOverflowed: number;
    requestsAnswered: number;
    requestsSilenced: number;
    eventsDropped: number;
    eventsDelayed: number;
    eventsDuplicated: number;
  };
}

/** A running server. It ends with this process, however that ends. */
export class Server {
  private constructor();
  /** Base URL of HTTP: of the REST API, the demo page and `callbox.js`. */
  readonly url: string;
  /** URL of the WebSocket protocol. */
  readonly websocket: string;
  /** URL of the Socket.IO protocol. */
  readonly socketIo: string;
  /** `stun:` URIs. */
  readonly stun: string[];
  /** `turn:` and `turns:` URIs. Unless an option sets a certificate, that of `turns:` is self-signed. */
  readonly turn: string[];
  /** Key of the REST API. */
  readonly apiKey: string;
  readonly forceRelay: boolean;
  readonly pid: number;
  /** The server's log so far; of a long one, the last million characters. */
  readonly log: string;
  /** Makes a token with which a user signs in. */
  token(user: string, options?: TokenOptions): Promise<string>;
  /** Makes a user's configuration for `new RTCPeerConnection()`. */
  iceConfig(user: string): Promise<IceConfig>;
  /** Makes a user's ICE servers, with credentials that are not for one call. */
  iceServers(user: string): Promise<IceServer[]>;
  /** Makes a user's TURN credentials that are not for one call. */
  credentials(user: string): Promise<TurnCredentials>;
  /**
   * Injects faults in place of the current ones (with `allowFaults`), and resolves to the server's
   * report once they are in force: the server's docs/faults.md describes both. `null` ends all
   * faults; without an argument it resolves to a report of the current ones. Rejects with an
   * ApiError that names the field which is wrong.
   */
  faults(wanted?: Faults | null): Promise<FaultReport>;
  /** Sends a request to the REST API with the API key. Rejects with an ApiError. */
  api(method: string, path: string, body?: unknown): Promise<any>;
  /**
   * Stops the server, and starts it again with the same options, addresses and secrets, as an
   * operator does: connections are closed and the relay's allocations are gone. Calls end, unless
   * the option `stateDir` is set: then they go on. Rejects with the log if the server does not end
   * well or does not start; it is stopped then.
   */
  restart(): Promise<void>;
  /**
   * Stops the server and resolves when it has ended. Rejects with its log if it did not end well.
   */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts a server on free ports of loopback. Rejects with its log if it does not start. */
export function start(options?: StartOptions): Promise<Server>;

/** Returns the path of the binary that `start` runs. Throws if there is none. */
export function findBinary(binary?: string, where?: { env?: Record<string, string | undefined>; cwd?: string }): string;
