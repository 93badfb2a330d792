// Types of @callbox/client. The types of the events are in events.d.ts, which is generated from the
// server's.

import type { Answer, CallId, CallState, CallType, CandidateType, EndReason, ErrorCode, Events, IceServer, Media, ParticipantId, Payload, Requests, RoomId, UserId } from './events.js';

export type * from './events.js';

/** Codes of errors that the client itself reports, in addition to the server's. */
export type ClientErrorCode =
  /** The server cannot be reached, or did not answer in time. */
  | 'connection_lost'
  /** The connection was closed, by `close()` or for good by the server. */
  | 'closed'
  /** The token function threw an error. */
  | 'no_token'
  /** The user or the browser denies access to camera or microphone. */
  | 'media_denied'
  /** The browser offers neither to a page from an insecure origin. */
  | 'media_unavailable'
  /** The browsers of the two sides could not complete a negotiation. */
  | 'negotiation_failed';

export class CallboxError extends Error {
  /** May also be a code of a newer server, or the code in a close reason such as `replaced`. */
  readonly code: ErrorCode | ClientErrorCode | (string & {});
  readonly retryAfterMs?: number;
  constructor(error: { code: string; message?: string; retryAfterMs?: number });
}

/**
 * A token, or a function that returns one; `fresh` means that the previous one is no longer valid.
 */
export type Token = string | ((wanted: { fresh: boolean }) => string | Promise<string>);

export interface ConnectOptions {
  token: Token;
  /** By default each tab generates an id, which survives a reload. */
  deviceId?: string;
  /**
   * Used for each RTCPeerConnection, such as `{ iceTransportPolicy: 'relay' }`. Its `iceServers`
   * replace the server's. A server with `--force-relay` replaces its `iceTransportPolicy`.
   */
  rtcConfig?: RTCConfiguration;
}

/**
 * Connects to a callbox server at an address such as `https://callbox.example`. Rejects if the
 * first connection fails; from then on the box reconnects by itself.
 */
export function connect(url: string | URL, options: ConnectOptions): Promise<Box>;

/** Registers event handlers. */
export interface Emitter<Handlers> {
  /** Returns a function that removes the handler. */
  on<Name extends keyof Handlers>(event: Name, handler: Handlers[Name]): () => void;
  once<Name extends keyof Handlers>(event: Name, handler: Handlers[Name]): () => void;
  off<Name extends keyof Handlers>(event: Name, handler: Handlers[Name]): void;
}

export type BoxState = 'connecting' | 'connected' | 'reconnecting' | 'closed';

/** Events of the box. Each event of the server is also emitted under its own name. */
export type BoxEvents = { [Name in keyof Events]: (data: Events[Name]) => void } & {
  /** An incoming call. Without a handler no call rings here. */
  incoming: (call: Call) => void;
  /** `error` is the cause of `closed`, unless `close()` was called. */
  state: (state: BoxState, error?: CallboxError) => void;
};

/** The connection to a server, and the calls and rooms over it. */
export interface Box extends Emitter<BoxEvents> {
  readonly state: BoxState;
  readonly userId: string;
  readonly deviceId: string;
  readonly sessionId: string;
  readonly iceServers: IceServer[];
  readonly calls: Call[];
  readonly rooms: Room[];
  /** Calls a user; resolves once the server has the call. */
  call(userId: string, options?: CallOptions): Promise<Call>;
  /**
   * Creates a call without starting it, to show it before its media is open; `start()` starts it.
   */
  createCall(userId: string, options?: CallOptions): Call;
  /** Joins a room of up to eight participants; resolves once its members are known. */
  join(roomId: RoomId, options?: CallOptions): Promise<Room>;
  /**
   * Refuses calls from a user for the lifetime of this box, also in new sessions: none of this
   * user's devices rings, and the caller gets `invalid_target`.
   */
  block(userId: string): Promise<void>;
  /** Accepts calls from the user again. */
  unblock(userId: string): Promise<void>;
  /**
   * Sends any request of the protocol. Resolves to a successful answer, and rejects with a
   * CallboxError.
   */
  request<Name extends keyof Requests>(event: Name, data?: Payload<Name>): Promise<Extract<Answer<Name>, { ok: true }>>;
  /** Ends all calls and closes the connection for good. */
  close(): void;
}

export interface MediaOptions {
  /** Defaults to true. */
  audio?: boolean | MediaTrackConstraints;
  /**
   * Defaults to false for outgoing calls and rooms, and to the caller's type for incoming calls. An
   * incoming audio call needs an upgrade for video.
   */
  video?: boolean | MediaTrackConstraints;
  /** Used instead of camera and microphone, and not stopped when the call ends. */
  stream?: MediaStream;
  /** As in `connect`, for this call only. */
  rtcConfig?: RTCConfiguration;
}

export interface CallOptions extends MediaOptions {
  /** Any JSON up to 4 KiB, for the callee or the other members of the room. */
  metadata?: unknown;
}

export interface CallEnd {
  /** `error` is reported by the client only, with details in the field `error`. */
  reason: EndReason | 'error';
  /** The user who ended the call, or null. */
  endedBy: string | null;
  /** In seconds. */
  duration: number;
  /** The failure on this side, for example that the server no longer has the call. */
  error?: CallboxError;
}

/** A request of the other side to change the call's type. */
export interface UpgradeRequest {
  readonly type: CallType;
  /** Agrees. Opens the camera for a video call, unless `video` is false. */
  accept(options?: UpgradeOptions): Promise<boolean>;
  reject(): void;
}

export interface UpgradeOptions {
  /** Video of this side; defaults to true. */
  video?: boolean | MediaTrackConstraints;
  stream?: MediaStream;
}

/** Figures of getStats, read once a second. Null if the browser does not report them. */
export interface Reading {
  /** Types of the selected local and remote candidate. */
  path: CandidateType | null;
  remotePath: CandidateType | null;
  /** True if a relay of either side is on the path. */
  relayed: boolean;
  protocol: string | null;
  rttMs: number | null;
  jitterMs: number | null;
  packetsLost: number;
  /** Loss since the previous reading. */
  lossPercent: number | null;
  /** Bits per second. */
  bitrateOut: number | null;
  bitrateIn: number | null;
  framesDecoded: number | null;
  frameWidth: number | null;
  frameHeight: number | null;
  framesPerSecond: number | null;
  codec: string | null;
}

export interface CallEvents {
  state: (state: CallState) => void;
  ended: (end: CallEnd) => void;
  /** Received media, emitted for each track that is added. */
  stream: (stream: MediaStream) => void;
  /** Local media; `missing` lists requested devices that could not be opened. */
  localstream: (stream: MediaStream, missing: Array<'audio' | 'video'>) => void;
  /** Media state reported by the other side. */
  media: (media: Media) => void;
  /** Data that the other side passed to `send`. */
  message: (data: unknown) => void;
  stats: (reading: Reading) => void;
  /** The other side lost its connection to the server or its media, or is back. */
  peer: (connected: boolean) => void;
  /** A request for an upgrade. Without a handler it is rejected. */
  upgrade: (request: UpgradeRequest) => void;
  upgraded: (result: { type: CallType; accepted: boolean }) => void;
  /** A change failed to negotiate, in either browser. The call continues unchanged. */
  warning: (error: CallboxError) => void;
}

/** Local media, sent to the other side of a call or to all members of a room. */
export interface Sender {
  readonly localStream: MediaStream | null;
  readonly missing: Array<'audio' | 'video'>;
  readonly muted: boolean;
  readonly held: boolean;
  readonly cameraOff: boolean;
  readonly sendsVideo: boolean;
  mute(muted?: boolean): void;
  setCamera(on?: boolean): void;
  /** On hold, nothing is sent or played. */
  hold(held?: boolean): void;
}

export interface Call extends Sender, Emitter<CallEvents> {
  /** Null until the server has the call. */
  readonly id: string | null;
  readonly direction: 'outgoing' | 'incoming';
  /** The other user's id; `peerName` is their name, or the id if they have none. */
  readonly peer: string;
  peerName: string;
  readonly type: CallType;
  readonly state: CallState;
  readonly metadata?: unknown;
  /** For an incoming call, the device of the same user that transfers it. */
  readonly transferFrom?: string;
  readonly remoteStream: MediaStream | null;
  readonly remoteMedia: Media;
  /** True while the other side has a connection to the server and media. */
  readonly peerConnected: boolean;
  /** Time at which media first connected, as of Date.now(); 0 before. */
  readonly connectedAt: number;
  /**
   * Replaced by another one after a transfer, or if the browser cannot continue over a failed one.
   */
  readonly pc: RTCPeerConnection | null;

  start(): Promise<void>;
  /**
   * Resolves without an error if the call has ended meanwhile, for example because another device
   * was faster.
   */
  accept(options?: MediaOptions): Promise<void>;
  /** Rejects the call on all devices. */
  reject(reason?: 'rejected' | 'busy'): void;
  /** Ends the call in any state. */
  hangUp(): void;
  /** Asks the other side to change the call's type; resolves to whether it agreed. */
  upgrade(type?: CallType, options?: UpgradeOptions): Promise<boolean>;
  /** Transfers the call to another device of this user; resolves to whether it accepted. */
  transfer(deviceId: string): Promise<boolean>;
  /** Sends any JSON value to the other side. */
  send(data: unknown): Promise<void>;
  /** Restarts ICE. The client does so by itself when a path breaks or the network changes. */
  restartIce(): Promise<void>;
}

export interface RoomMemberEvents {
  /** State of the peer connection with this member: `failed` without a path, `left` at the end. */
  state: (state: RoomMember['state']) => void;
  stream: (stream: MediaStream) => void;
  media: (media: Media) => void;
  stats: (reading: Reading) => void;
  /** The member lost its connection to the server, or is back. */
  peer: (connected: boolean) => void;
}

/** Another participant in a room: one device, over its own peer connection. */
export interface RoomMember extends Emitter<RoomMemberEvents> {
  readonly id: ParticipantId;
  readonly userId: UserId;
  readonly deviceId: string;
  /** The user's name, or the id if they have none. */
  readonly name: string;
  /** Metadata that the member passed to `join`. */
  readonly metadata?: unknown;
  readonly state: 'connecting' | 'connected' | 'reconnecting' | 'failed' | 'left';
  readonly remoteStream: MediaStream | null;
  readonly remoteMedia: Media;
  readonly peerConnected: boolean;
  /** Replaced by another one if the browser cannot continue over a failed one. */
  readonly pc: RTCPeerConnection;
}

export interface RoomEvents {
  /**
   * A member joined, or was present when the room was joined again after a restart of the server.
   */
  joined: (member: RoomMember) => void;
  left: (member: RoomMember, reason: EndReason) => void;
  /** Data that a member passed to `send`. */
  message: (data: unknown, member: RoomMember) => void;
  /** A change failed to negotiate with a member. Media continues unchanged. */
  warning: (error: CallboxError, member: RoomMember) => void;
  /** The end for this participant; the room may continue. */
  ended: (end: Omit<CallEnd, 'duration'>) => void;
}

/** A call of up to eight participants, each connected to each. */
export interface Room extends Sender, Emitter<RoomEvents> {
  readonly id: RoomId;
  /** The server's id for the record of this room; changes after a restart of the server. */
  readonly callId: CallId;
  /** Id of this participant. */
  readonly participantId: ParticipantId;
  readonly type: CallType;
  /** The other participants. */
  readonly members: RoomMember[];
  leave(): void;
  /** Sends any JSON value to all members, or to one. */
  send(data: unknown, member?: RoomMember): Promise<void>;
  /** Restarts ICE for all members. */
  restartIce(): Promise<void>;
}
