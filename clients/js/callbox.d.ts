// The types of @callbox/client. Those of the events are in events.d.ts, which is made from the server's.

import type { Answer, CallId, CallState, CallType, CandidateType, EndReason, ErrorCode, Events, IceServer, Media, ParticipantId, Payload, Requests, RoomId, UserId } from './events.js';

export type * from './events.js';

/** Codes of errors that come from the client itself, besides the server's. */
export type ClientErrorCode =
  /** The server cannot be reached, or did not answer in time. */
  | 'connection_lost'
  /** The connection was closed, by `close()` or for good by the server. */
  | 'closed'
  /** The function that was given for tokens has none. */
  | 'no_token'
  /** The person, or their browser, does not give camera or microphone. */
  | 'media_denied'
  /** The browser gives them to no page like this one. */
  | 'media_unavailable'
  /** The browsers of the two sides could not agree. */
  | 'negotiation_failed';

export class CallboxError extends Error {
  /** Also a word that a newer server may say, or the word of a close such as `replaced`. */
  readonly code: ErrorCode | ClientErrorCode | (string & {});
  readonly retryAfterMs?: number;
  constructor(error: { code: string; message?: string; retryAfterMs?: number });
}

/** A token, or a function that gets one; `fresh` says that the one before is no good any more. */
export type Token = string | ((wanted: { fresh: boolean }) => string | Promise<string>);

export interface ConnectOptions {
  token: Token;
  /** Without one a tab has a name of its own, and keeps it when its page is loaded again. */
  deviceId?: string;
  /** For each RTCPeerConnection, such as `{ iceTransportPolicy: 'relay' }`. Its `iceServers` are used in place of the server's. */
  rtcConfig?: RTCConfiguration;
}

/**
 * Connects to a callbox server: `url` is its address, such as `https://callbox.example`. It fails if the
 * first connection does; from then on the box connects again by itself.
 */
export function connect(url: string | URL, options: ConnectOptions): Promise<Box>;

/** Sets handlers. */
export interface Emitter<Handlers> {
  /** Gives a function that takes the handler off again. */
  on<Name extends keyof Handlers>(event: Name, handler: Handlers[Name]): () => void;
  once<Name extends keyof Handlers>(event: Name, handler: Handlers[Name]): () => void;
  off<Name extends keyof Handlers>(event: Name, handler: Handlers[Name]): void;
}

export type BoxState = 'connecting' | 'connected' | 'reconnecting' | 'closed';

/** Each event of the server comes under its own name as well. */
export type BoxEvents = { [Name in keyof Events]: (data: Events[Name]) => void } & {
  /** Somebody calls. Without a handler no call rings here. */
  incoming: (call: Call) => void;
  /** `error` says why it is closed, if it was not by `close()`. */
  state: (state: BoxState, error?: CallboxError) => void;
};

/** The connection to a server, and the calls over it. */
export interface Box extends Emitter<BoxEvents> {
  readonly state: BoxState;
  readonly userId: string;
  readonly deviceId: string;
  readonly sessionId: string;
  readonly iceServers: IceServer[];
  readonly calls: Call[];
  readonly rooms: Room[];
  /** Calls a user, and gives the call once the server knows of it. */
  call(userId: string, options?: CallOptions): Promise<Call>;
  /** The same in two steps, for whom wants to show a call before its media is open: then `start()`. */
  createCall(userId: string, options?: CallOptions): Call;
  /** Comes into a room of up to eight, and gives it once all who are there are known. */
  join(roomId: RoomId, options?: CallOptions): Promise<Room>;
  /**
   * Takes no calls from a user for as long as there is this box, also over new sessions: none of this
   * user's devices rings, and the caller is refused with `invalid_target`.
   */
  block(userId: string): Promise<void>;
  /** Takes them again. */
  unblock(userId: string): Promise<void>;
  /** Any request of the protocol. Gives a good answer, and throws a CallboxError if it is refused. */
  request<Name extends keyof Requests>(event: Name, data?: Payload<Name>): Promise<Extract<Answer<Name>, { ok: true }>>;
  /** Hangs up, and leaves for good. */
  close(): void;
}

export interface MediaOptions {
  /** True if nothing is said. */
  audio?: boolean | MediaTrackConstraints;
  /** For a call that is made, and for a room: false if nothing is said. For a call that is taken: as the caller wants it; one of sound takes an upgrade. */
  video?: boolean | MediaTrackConstraints;
  /** In place of camera and microphone. It is not stopped when the call ends. */
  stream?: MediaStream;
  /** As for `connect`, for this call. */
  rtcConfig?: RTCConfiguration;
}

export interface CallOptions extends MediaOptions {
  /** Any JSON for the callee, or for the others in the room, up to 4 KiB. */
  metadata?: unknown;
}

export interface CallEnd {
  /** `error` is the client's own word for what `error` tells. */
  reason: EndReason | 'error';
  /** A user; null where nobody ended it. */
  endedBy: string | null;
  /** In seconds. */
  duration: number;
  /** What went wrong on this side: the server had forgotten the call, for example. */
  error?: CallboxError;
}

/** The other side asks for something else to be carried. */
export interface UpgradeRequest {
  readonly type: CallType;
  /** Opens the camera if pictures are asked for, unless it is told not to. */
  accept(options?: UpgradeOptions): Promise<boolean>;
  reject(): void;
}

export interface UpgradeOptions {
  /** Of this side; true if nothing is said. */
  video?: boolean | MediaTrackConstraints;
  stream?: MediaStream;
}

/** What getStats says, once a second. Null is what the browser does not say. */
export interface Reading {
  /** The type of the candidate that media leaves by, and of the other side's. */
  path: CandidateType | null;
  remotePath: CandidateType | null;
  /** Whether a relay is on the way, of this side or of the other. */
  relayed: boolean;
  protocol: string | null;
  rttMs: number | null;
  jitterMs: number | null;
  packetsLost: number;
  /** Since the last reading. */
  lossPercent: number | null;
  /** In bits a second. */
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
  /** What comes from the other side, with each track that is added to it. */
  stream: (stream: MediaStream) => void;
  /** What is sent from here; `missing` names what was wanted and could not be opened. */
  localstream: (stream: MediaStream, missing: Array<'audio' | 'video'>) => void;
  /** What the other side says that it sends. */
  media: (media: Media) => void;
  /** What the other side sent with `send`. */
  message: (data: unknown) => void;
  stats: (reading: Reading) => void;
  /** The other side lost its connection to the server or its media, or is back. */
  peer: (connected: boolean) => void;
  /** Without a handler the answer is no. */
  upgrade: (request: UpgradeRequest) => void;
  upgraded: (result: { type: CallType; accepted: boolean }) => void;
  /** A change was not agreed on, by this browser or the other side's. The call goes on as it was. */
  warning: (error: CallboxError) => void;
}

/** What is sent from here: to the other side of a call, or to everybody in a room. */
export interface Sender {
  readonly localStream: MediaStream | null;
  readonly missing: Array<'audio' | 'video'>;
  readonly muted: boolean;
  readonly held: boolean;
  readonly cameraOff: boolean;
  readonly sendsVideo: boolean;
  mute(muted?: boolean): void;
  setCamera(on?: boolean): void;
  /** On hold nothing is sent, and nothing that comes is heard or seen. */
  hold(held?: boolean): void;
}

export interface Call extends Sender, Emitter<CallEvents> {
  /** Null until the server knows of it. */
  readonly id: string | null;
  readonly direction: 'outgoing' | 'incoming';
  /** The other user, and their name if they have one. */
  readonly peer: string;
  peerName: string;
  readonly type: CallType;
  readonly state: CallState;
  readonly metadata?: unknown;
  /** For an incoming call: the device of the same user that hands it over. */
  readonly transferFrom?: string;
  readonly remoteStream: MediaStream | null;
  readonly remoteMedia: Media;
  /** Whether the other side has a connection to the server, and media. */
  readonly peerConnected: boolean;
  /** When media flowed first, as Date.now() has it; 0 before. */
  readonly connectedAt: number;
  /** Another one after a connection that was lost for good: after a transfer, or where the browser cannot go on over it. */
  readonly pc: RTCPeerConnection | null;

  start(): Promise<void>;
  /** Also done, without an error, if it has `ended` meanwhile: another device was faster, for example. */
  accept(options?: MediaOptions): Promise<void>;
  /** On all devices. */
  reject(reason?: 'rejected' | 'busy'): void;
  /** Ends it, whatever its state. */
  hangUp(): void;
  /** Asks the other side to carry something else; gives whether it agreed. */
  upgrade(type?: CallType, options?: UpgradeOptions): Promise<boolean>;
  /** Hands the call to another device of this user; gives whether that one took it. */
  transfer(deviceId: string): Promise<boolean>;
  /** Anything that JSON can carry, for the other side. */
  send(data: unknown): Promise<void>;
  /** Looks for another path. The client does so by itself when one breaks, or the network changes. */
  restartIce(): Promise<void>;
}

export interface RoomMemberEvents {
  /** Of the peer connection with this one: `failed` if there is no way, `left` at the end. */
  state: (state: RoomMember['state']) => void;
  stream: (stream: MediaStream) => void;
  media: (media: Media) => void;
  stats: (reading: Reading) => void;
  /** This one lost its connection to the server, or is back. */
  peer: (connected: boolean) => void;
}

/** One of the others in a room: a device, over a peer connection of its own. */
export interface RoomMember extends Emitter<RoomMemberEvents> {
  readonly id: ParticipantId;
  readonly userId: UserId;
  readonly deviceId: string;
  /** The user's id, if they have no name. */
  readonly name: string;
  /** What this one said at `join`. */
  readonly metadata?: unknown;
  readonly state: 'connecting' | 'connected' | 'reconnecting' | 'failed' | 'left';
  readonly remoteStream: MediaStream | null;
  readonly remoteMedia: Media;
  readonly peerConnected: boolean;
  /** Another one where the browser cannot go on over a connection that was lost. */
  readonly pc: RTCPeerConnection;
}

export interface RoomEvents {
  /** Somebody came, or was there when the server let us in again after its restart. */
  joined: (member: RoomMember) => void;
  left: (member: RoomMember, reason: EndReason) => void;
  /** What one of the others sent with `send`. */
  message: (data: unknown, member: RoomMember) => void;
  /** A change was not agreed on with one of the others. What was sent before is sent on. */
  warning: (error: CallboxError, member: RoomMember) => void;
  /** For this side; the room may go on. */
  ended: (end: Omit<CallEnd, 'duration'>) => void;
}

/** A call of up to eight, each connected with each. */
export interface Room extends Sender, Emitter<RoomEvents> {
  readonly id: RoomId;
  /** The id by which the server keeps record of the room. Another one after the server was restarted. */
  readonly callId: CallId;
  /** Of this side. */
  readonly participantId: ParticipantId;
  readonly type: CallType;
  /** The others. */
  readonly members: RoomMember[];
  leave(): void;
  /** Anything that JSON can carry, for everybody or for one. */
  send(data: unknown, member?: RoomMember): Promise<void>;
  /** Looks for other paths to everybody. */
  restartIce(): Promise<void>;
}
