// The types of callbox's events, as docs/protocol.md describes them. They are generated from
// the server's own types by: cargo xtask generate

/** The payload of a request. A repeated `msgId` gets the first answer again, and is not executed again. */
export type Payload<Name extends keyof Requests> = Requests[Name]['request'] & { msgId?: string };

/** The answer to a request. */
export type Answer<Name extends keyof Requests> = ({ ok: true } & Requests[Name]['answer']) | Refused;

/** The answer to a request that was refused. */
export interface Refused {
  ok: false;
  error: Refusal;
}

/** The requests of clients, each with its payload and its successful answer. */
export interface Requests {
  /** Go on with another token. */
  'auth:refresh': { request: AuthRefreshRequest; answer: AuthRefreshAnswer };
  /** Call a user. */
  'call:initiate': { request: CallInitiateRequest; answer: CallInitiateAnswer };
  /** This device is alerting its user. */
  'call:ring': { request: CallRequest; answer: CallAnswer };
  /** Take the call on this device. */
  'call:accept': { request: CallRequest; answer: CallStateAnswer };
  /** Refuse the call, on all devices. */
  'call:reject': { request: CallEndRequest; answer: CallEndAnswer };
  /** Take back a call that nobody has accepted. */
  'call:cancel': { request: CallRequest; answer: CallEndAnswer };
  /** Hang up. */
  'call:end': { request: CallEndRequest; answer: CallEndAnswer };
  /** An ICE candidate for the other side. */
  'ice:candidate': { request: IceCandidateRequest; answer: CallAnswer };
  /** An SDP offer for the other side. */
  'signal:offer': { request: SignalRequest; answer: CallAnswer };
  /** An SDP answer for the other side. */
  'signal:answer': { request: SignalRequest; answer: CallAnswer };
  /** Go on with the call on another device. */
  'call:transfer': { request: CallTransferRequest; answer: CallTransferAnswer };
  /** Media flows. */
  'call:connected': { request: CallRequest; answer: CallStateAnswer };
  /** Media stopped flowing, and this side works on it. */
  'call:reconnecting': { request: CallRequest; answer: CallStateAnswer };
  /** The media that this side sends now. */
  'media:update': { request: MediaUpdateRequest; answer: CallAnswer };
  /** Carry something else from now on. */
  'call:upgrade': { request: CallUpgradeRequest; answer: CallUpgradeAnswer };
  /** Anything that the sides have to say. */
  'call:message': { request: CallMessageRequest; answer: CallAnswer };
  /** The quality of the call, as this side measured it. */
  'call:stats': { request: CallStatsRequest; answer: CallAnswer };
  /** Fresh relay credentials. */
  'ice:refresh': { request: CallRequest; answer: IceRefreshAnswer };
  /** Come into a room. */
  'room:join': { request: RoomJoinRequest; answer: RoomView };
  /** Go out of a room. */
  'room:leave': { request: RoomLeaveRequest; answer: RoomLeaveAnswer };
  /** See whether these users can be called, from now on. */
  'presence:subscribe': { request: PresenceSubscribeRequest; answer: PresenceSubscribeAnswer };
  /** Take no calls from a user any more, or take them again. */
  'user:block': { request: UserBlockRequest; answer: UserBlockAnswer };
}

/** The events of the server, each with its payload. */
export interface Events {
  /** The session is open: the first event. */
  'session:welcome': SessionWelcome;
  /** The session's token is about to expire. */
  'auth:expiring': AuthExpiringEvent;
  /** Somebody calls you. */
  'call:incoming': CallIncomingEvent;
  /** A device of the callee is alerting. */
  'call:ringing': CallRingingEvent;
  /** A device of the callee has taken the call. */
  'call:accepted': CallAcceptedEvent;
  /** The call is over for this session. */
  'call:ended': CallEndedEvent;
  /** The call changed its state. */
  'call:state': CallStateEvent;
  /** The other side lost its connection, or says that its media did. */
  'call:reconnecting': CallReconnectingEvent;
  /** The other side is back. */
  'call:reconnected': CallReconnectedEvent;
  /** The state of a call, for a device that came back without its session. */
  'call:sync': CallSyncEvent;
  /** The other side's ICE candidate. */
  'ice:candidate': IceCandidateEvent;
  /** The other side's SDP offer. */
  'signal:offer': SignalOfferEvent;
  /** The other side's SDP answer. */
  'signal:answer': SignalAnswerEvent;
  /** A side goes on with the call on another device, or does not. */
  'call:transferred': CallTransferredEvent;
  /** The media that the other side sends now. */
  'media:updated': MediaUpdatedEvent;
  /** The other side wants the call to carry something else. */
  'call:upgrade': CallUpgradeEvent;
  /** The call carries something else, or does not. */
  'call:upgraded': CallUpgradedEvent;
  /** A message of the other side. */
  'call:message': CallMessageEvent;
  /** Fresh relay credentials. */
  'ice:servers': IceServersEvent;
  /** Somebody came into the room. */
  'room:joined': RoomJoinedEvent;
  /** Somebody is in the room no more. */
  'room:left': RoomLeftEvent;
  /** The state of a room, for a device that came back without its session. */
  'room:sync': RoomSyncEvent;
  /** A user can be called, or cannot any more. */
  'presence:changed': PresenceChangedEvent;
  /** The server stops; when to come back. */
  'server:draining': ServerDrainingEvent;
  /** An event that wanted no answer was refused, or, over Socket.IO, why the connection is closed. */
  'error': ErrorEvent;
}

/** The session's token is about to expire. */
export interface AuthExpiringEvent {
  /** When. */
  expiresAt: Timestamp;
}

/** The session goes on with the token. */
export interface AuthRefreshAnswer {
  /** Until when the token is good. */
  expiresAt: Timestamp;
}

/** Go on with another token. */
export interface AuthRefreshRequest {
  /** The token. */
  token: string;
}

/** A device of the callee took the call. */
export interface CallAcceptedEvent {
  /** The call. */
  callId: CallId;
  /** Who took it. */
  calleeId: UserId;
  /** On which device. */
  deviceId: DeviceId;
}

/** The call that the request was about. */
export interface CallAnswer {
  /** The call. */
  callId: CallId;
  /** The room, where it is one. */
  roomId?: RoomId;
}

/** The call is over, for this device at least. */
export interface CallEndAnswer {
  /** The call. */
  callId: CallId;
  /** `ended` or `failed`; of a call that goes on without this device, where it stands. */
  state: CallState;
  /** Why it ended. */
  reason: EndReason;
  /** Seconds since the accept, 0 without one. */
  duration: number;
}

/** A request that ends a call. */
export interface CallEndRequest {
  /** Which call; may be left out by a session that is in one call only. */
  callId?: CallId | null;
  /** Why: a word that the server knows counts as that, and any other text as a plain no. */
  reason?: string | null;
}

/** The call is over for this session. */
export interface CallEndedEvent {
  /** The call. */
  callId: CallId;
  /** The room, where it is one. */
  roomId?: RoomId;
  /** Why. */
  reason: EndReason;
  /** Who ended it; null where the server did. */
  endedBy: UserId | null;
  /** Seconds since the accept, 0 without one. */
  duration: number;
}

/** A call. A ULID, so that ids sort by the time the call began. */
export type CallId = string;

/** Somebody calls. */
export interface CallIncomingEvent {
  /** The call. */
  callId: CallId;
  /** Who calls. */
  callerId: UserId;
  /** What to show for the caller, if the caller's token has a name. */
  callerName?: string;
  /** What the call is to carry. */
  callType: CallType;
  /** What the caller sent along: any JSON. */
  metadata?: unknown;
  /**
   * Which device of this user hands the call over: then the caller is the other side of a call
   * that goes on.
   */
  transferFrom?: DeviceId;
  /** Until when it rings. */
  expiresAt: Timestamp;
  /** For `new RTCPeerConnection({ iceServers })`. */
  iceServers: Array<IceServer>;
  /** For this call only; null without a relay, or with a token that does not allow it. */
  turnCredentials: TurnCredentials | null;
}

/** The call has begun, or the other side's was taken. */
export interface CallInitiateAnswer {
  /** The call. */
  callId: CallId;
  /** Where it stands. */
  state: CallState;
  /** What it carries: what was asked for, unless it is the other's call. */
  callType: CallType;
  /** True where the two have called each other: it is the other's call, which this device took. */
  glare?: boolean;
  /** Until when it rings; missing where it was taken. */
  expiresAt?: Timestamp;
  /** For `new RTCPeerConnection({ iceServers })`. */
  iceServers: Array<IceServer>;
  /** For this call only; null without a relay, or with a token that does not allow it. */
  turnCredentials: TurnCredentials | null;
}

/** Call a user. */
export interface CallInitiateRequest {
  /** Whom. */
  targetUserId: UserId;
  /** What the call is to carry. */
  callType: CallType;
  /** Any JSON, shown to the callee; up to 4 KiB. */
  metadata?: unknown;
}

/** Anything that the other side has to say. */
export interface CallMessageEvent {
  /** The call. */
  callId: CallId;
  /** Who sent it. */
  from: UserId;
  /** On which device. */
  fromDevice: DeviceId;
  /** The room, where it is one. */
  roomId?: RoomId;
  /** Which participant of the room sent it. */
  fromParticipant?: ParticipantId;
  /** What it says: any JSON. */
  data: unknown;
  /** Whatever else the sender wrote. */
  [other: string]: unknown;
}

/** Anything that the sides have to say to each other. */
export interface CallMessageRequest {
  /** Which call; may be left out by a session that is in one call only. */
  callId?: CallId | null;
  /** Which room, where it is one. */
  roomId?: RoomId | null;
  /** For which participant of the room, if it is not for all of them. */
  to?: ParticipantId | null;
  /** Any JSON. */
  data: unknown;
}

/** That side is back. */
export interface CallReconnectedEvent {
  /** The call. */
  callId: CallId;
  /** The room, where it is one. */
  roomId?: RoomId;
  /** Which participant of the room. */
  participantId?: ParticipantId;
  /** Which side. */
  userId: UserId;
}

/** A side lost its connection, or said that its media stopped. */
export interface CallReconnectingEvent {
  /** The call. */
  callId: CallId;
  /** The room, where it is one. */
  roomId?: RoomId;
  /** Which participant of the room. */
  participantId?: ParticipantId;
  /** Which side. */
  userId: UserId;
}

/** A call, as its sides and operators see it. */
export interface CallRecord {
  /** Its id. */
  id: CallId;
  /** The room of which it is one life; missing for a call of two. */
  roomId?: RoomId;
  /** The state that it is in. */
  state: CallState;
  /** The media that it carries. */
  type: CallType;
  /**
   * The caller, then the callee. Of a room, who is in it, in the order in which they came; once
   * it is over, the latest who were.
   */
  participants: Array<Participant>;
  /** The time at which the caller called, or the first participant came. */
  createdAt: Timestamp;
  /** The time at which it was accepted, or a second participant came. */
  startedAt?: Timestamp;
  /** The time at which it ended. */
  endedAt?: Timestamp;
  /** Seconds since it started, up to its end; 0 for a call that ended without that. */
  duration?: number;
  /** The reason for its end. */
  reason?: EndReason;
  /** The user who ended it; missing where the server did. */
  endedBy?: UserId;
  /** The bytes that went through the server's relay. */
  relay: RelayUsage;
}

/** A request that only names a call. */
export interface CallRequest {
  /** Which; may be left out by a session that is in one call only. */
  callId?: CallId | null;
  /** Which room, where it is one. */
  roomId?: RoomId | null;
}

/** A device of the callee alerts its user. */
export interface CallRingingEvent {
  /** The call. */
  callId: CallId;
  /** Who is called. */
  calleeId: UserId;
  /** On which device. */
  deviceId: DeviceId;
}

/**
 * The state of a call.
 *
 * - `idle`: Not begun.
 * - `initiating`: No device of the callee has it yet.
 * - `ringing`: At least one device of the callee has it.
 * - `connecting`: Accepted; the sides look for a path.
 * - `connected`: A side said that media flows, or the SDP answer was relayed.
 * - `reconnecting`: Was connected; a side is lost, works on its media path or has changed its device.
 * - `ended`: Over.
 * - `failed`: Over, though nobody wanted that.
 */
export type CallState = 'idle' | 'initiating' | 'ringing' | 'connecting' | 'connected' | 'reconnecting' | 'ended' | 'failed';

/** The call that the request was about, and where it stands now. */
export interface CallStateAnswer {
  /** The call. */
  callId: CallId;
  /** The room, where it is one. */
  roomId?: RoomId;
  /** Where it stands. */
  state: CallState;
}

/** The call changed its state, or the session came back to it. */
export interface CallStateEvent {
  /** The call. */
  callId: CallId;
  /** All of it. */
  call: CallRecord;
}

/** The quality of a call, as a side measured it last with `RTCPeerConnection.getStats`. */
export interface CallStats {
  /** The round trip, in milliseconds. */
  rttMs?: number | null;
  /** The jitter, in milliseconds. */
  jitterMs?: number | null;
  /** Lost packets, in percent. */
  lossPercent?: number | null;
  /** The type of the candidate that media leaves by. */
  path?: CandidateType | null;
}

/** How the call goes, as this side measures it. */
export type CallStatsRequest = CallStats & {
  /** Which call; may be left out by a session that is in one call only. */
  callId?: CallId | null;
  /** Which room, where it is one. */
  roomId?: RoomId | null;
};

/** Where a call stands, for a device that came back to it with a new session. */
export interface CallSyncEvent {
  /** The call. */
  callId: CallId;
  /** All of it. */
  call: CallRecord;
  /** What a side asked to carry instead, if the other has not said yes or no. */
  upgrade?: OpenUpgrade;
  /** The device that this one is handing the call to, while it rings there. */
  transferTo?: DeviceId;
  /** The last description that was relayed to this device. */
  description?: RelayedDescription;
  /** The candidates that came to it since. */
  candidates: Array<IceCandidateEvent>;
}

/** The other device rings. */
export interface CallTransferAnswer {
  /** The call. */
  callId: CallId;
  /** Until when it rings. */
  expiresAt: Timestamp;
}

/** Go on with the call on another device. */
export interface CallTransferRequest {
  /** Which call; may be left out by a session that is in one call only. */
  callId?: CallId | null;
  /** On which; it must be connected. */
  deviceId: DeviceId;
}

/** A side goes on with the call on another device, or does not. */
export interface CallTransferredEvent {
  /** The call. */
  callId: CallId;
  /** Which side. */
  userId: UserId;
  /** The device that was asked to take it. */
  deviceId: DeviceId;
  /**
   * True to the other side, which now needs a new `RTCPeerConnection`; false to the device that
   * wanted to hand the call over, and still has it.
   */
  accepted: boolean;
}

/**
 * The media of a call.
 *
 * - `audio`: Sound only.
 * - `video`: Sound and pictures.
 */
export type CallType = 'audio' | 'video';

/** What the call carries, until the other side agrees to something else. */
export interface CallUpgradeAnswer {
  /** The call. */
  callId: CallId;
  /** What it carries now. */
  callType: CallType;
}

/** The other side wants the call to carry something else. */
export interface CallUpgradeEvent {
  /** The call. */
  callId: CallId;
  /** Who wants it. */
  from: UserId;
  /** On which device. */
  fromDevice: DeviceId;
  /** What it is to carry. */
  callType: CallType;
}

/** Carry something else from now on, or not. */
export interface CallUpgradeRequest {
  /** Which call; may be left out by a session that is in one call only. */
  callId?: CallId | null;
  /** What. */
  callType: CallType;
  /** False for no to what the other side asked for. */
  accept?: boolean;
}

/** The other side said yes or no to `call:upgrade`. */
export interface CallUpgradedEvent {
  /** The call. */
  callId: CallId;
  /** What it carries from now on. */
  callType: CallType;
  /** Whether that is what was asked for. */
  accepted: boolean;
}

/** The types of candidates (RFC 8445 §5.1.1), as browsers name them. */
export type CandidateType = 'host' | 'srflx' | 'prflx' | 'relay';

/**
 * The reason for which the server closes a session.
 *
 * - `token_expired`: The token's time is over.
 * - `too_many_connections`: Too many connections of this user, or in all.
 * - `rate_limited`: It sent too many events, and went on after it was told.
 * - `server_shutdown`: The server stops.
 * - `replaced`: The same user and device connected again.
 * - `kicked`: An administrator closed it.
 */
export type CloseReason = 'token_expired' | 'too_many_connections' | 'rate_limited' | 'server_shutdown' | 'replaced' | 'kicked';

/** One of a user's devices, under the name that the device gives itself. 1 to 64 bytes. */
export type DeviceId = string;

/**
 * The reason for which a call is over, or over for one device.
 *
 * - `hangup`: A side hung up.
 * - `rejected`: The callee refused.
 * - `busy`: The callee has as many calls as a user may have, or a device of it said so.
 * - `timeout`: Nobody accepted in the ring time.
 * - `cancelled`: The caller took it back before anyone accepted.
 * - `answered_elsewhere`: Another device of the user accepted, or goes on with the call. Told to a device; never a call's own reason.
 * - `rejected_elsewhere`: Another device of the callee refused. Told to a device; never a call's own reason.
 * - `offline`: The callee has no device connected.
 * - `unauthorized`: A side may no longer take part.
 * - `left`: A side left: it disconnected for good, or began another call where this one waited for its lost connection.
 * - `ice_failed`: A side found no path for the media.
 * - `connection_lost`: A side's connection to the server was lost, and it did not come back in time; or a side said that its media was lost for good.
 * - `server_shutdown`: The server stopped.
 * - `server_crashed`: The server crashed, or its machine did, and nobody came back to the call.
 * - `kicked`: An administrator ended it.
 * - `credentials_revoked`: The relay credentials of a side were revoked.
 */
export type EndReason = 'hangup' | 'rejected' | 'busy' | 'timeout' | 'cancelled' | 'answered_elsewhere' | 'rejected_elsewhere' | 'offline' | 'unauthorized' | 'left' | 'ice_failed' | 'connection_lost' | 'server_shutdown' | 'server_crashed' | 'kicked' | 'credentials_revoked';

/**
 * The reason for which an event or a connection was refused.
 *
 * - `unauthorized`: There is no token, or it is not valid here.
 * - `token_expired`: The token's time is over.
 * - `issuer_unavailable`: The keys of the token's issuer cannot be had at the moment, so that nobody knows if it is valid. `retryAfterMs` says when they are tried again.
 * - `wrong_user`: The token is another user's than the session.
 * - `invalid_frame`: A frame has not the form that the protocol asks for.
 * - `unknown_event`: No such event.
 * - `invalid_payload`: A field is missing or has the wrong type.
 * - `payload_too_large`: The message, or a part of it, is larger than the limit.
 * - `rate_limited`: Too many events; `retryAfterMs` says when to go on.
 * - `too_many_connections`: Too many connections of this user or address, or in all.
 * - `too_many_calls`: The user already has as many calls as a user may have.
 * - `too_many_blocked`: The session blocks as many users as it may.
 * - `too_many_candidates`: The journal for a side that is not there to hear is full.
 * - `server_full`: The server carries as many calls as it may.
 * - `server_shutdown`: The server is about to stop.
 * - `invalid_target`: This user cannot be called by the sender.
 * - `call_id_required`: `callId` is missing, and the sender has not exactly one call that could be meant.
 * - `call_not_found`: No such call.
 * - `call_ended`: The call is over.
 * - `not_a_participant`: The sender, or this device of it, is not in the call.
 * - `participant_not_found`: Nobody in the room has this participant id, or not any more.
 * - `room_full`: The room has as many participants as it may have.
 * - `not_allowed`: The other side may do that, the sender may not; or the token does not say so.
 * - `invalid_state`: The call is in a state in which that makes no sense.
 */
export type ErrorCode = 'unauthorized' | 'token_expired' | 'issuer_unavailable' | 'wrong_user' | 'invalid_frame' | 'unknown_event' | 'invalid_payload' | 'payload_too_large' | 'rate_limited' | 'too_many_connections' | 'too_many_calls' | 'too_many_blocked' | 'too_many_candidates' | 'server_full' | 'server_shutdown' | 'invalid_target' | 'call_id_required' | 'call_not_found' | 'call_ended' | 'not_a_participant' | 'participant_not_found' | 'room_full' | 'not_allowed' | 'invalid_state';

/** An event that wanted no answer was refused, or, over Socket.IO, the connection is closed next. */
export interface ErrorEvent {
  /** The event's name, its first 64 characters at most; missing of what was no event. */
  event?: string;
  /** The reason. */
  error: EventError;
}

/** The reason for which an event was refused, or a connection is closed. */
export interface EventError {
  /** For the program. */
  code: EventErrorCode;
  /** For a person. */
  message: string;
  /** The milliseconds after which the same may be tried again. */
  retryAfterMs?: number;
}

export type EventErrorCode = ErrorCode | CloseReason;

/** An ICE candidate in one of the forms that clients have it in. */
export type IceCandidate = string | IceCandidateInit;

/** The other side's ICE candidate. */
export interface IceCandidateEvent {
  /** The call. */
  callId: CallId;
  /** Who sent it. */
  from: UserId;
  /** On which device. */
  fromDevice: DeviceId;
  /** The room, where it is one. */
  roomId?: RoomId;
  /** Which participant of the room sent it. */
  fromParticipant?: ParticipantId;
  /** The candidate; null at the end of candidates. */
  candidate: IceCandidate | null;
  /** Whatever else the sender wrote. */
  [other: string]: unknown;
}

/** An `RTCIceCandidate` as browsers print it. */
export interface IceCandidateInit {
  /** The candidate line; empty at the end of candidates. */
  candidate: string;
  /** Which media section it belongs to. */
  sdpMid?: string | null;
  /** The same, counted from 0. */
  sdpMLineIndex?: number | null;
  /** The ICE generation it belongs to. */
  usernameFragment?: string | null;
}

/** An ICE candidate for the other side. */
export interface IceCandidateRequest {
  /** Which call; may be left out by a session that is in one call only. */
  callId?: CallId | null;
  /** Which room, where it is one. */
  roomId?: RoomId | null;
  /** For which participant of the room. */
  to?: ParticipantId | null;
  /** The candidate; null at the end of candidates. */
  candidate: IceCandidate | null;
}

/** Fresh relay credentials. */
export interface IceRefreshAnswer {
  /** The call they are for; missing where they are for none. */
  callId?: CallId;
  /** The room, where it is one. */
  roomId?: RoomId;
  /** For `RTCPeerConnection.setConfiguration`. */
  iceServers: Array<IceServer>;
  /** Null without a relay, or with a token that does not allow it. */
  turnCredentials: TurnCredentials | null;
  /** Until when the credentials open allocations. */
  expiresAt: Timestamp;
}

/** The `RTCIceServer` of browsers. */
export interface IceServer {
  /** The URIs at which it is: `stun:`, `turn:` and `turns:`. */
  urls: Array<string>;
  /** For a relay. */
  username?: string;
  /** For a relay. */
  credential?: string;
}

/** Fresh relay credentials for a call: for new `RTCPeerConnection`s, and for an ICE restart. */
export interface IceServersEvent {
  /** The call. */
  callId: CallId;
  /** The room, where it is one. */
  roomId?: RoomId;
  /** For `RTCPeerConnection.setConfiguration`. */
  iceServers: Array<IceServer>;
  /** For this call only; null with a token that does not allow it. */
  turnCredentials: TurnCredentials | null;
  /** Until when the credentials open allocations. */
  expiresAt: Timestamp;
}

/** The media that a side sends now, as it said with `media:update`. */
export interface Media {
  /** True if it sends no sound. */
  muted: boolean;
  /** True if it sends pictures; missing if it has not said. */
  video?: boolean;
  /** True if it has put the call on hold. */
  held: boolean;
}

/** What this side sends now; what is left out stays as it was. */
export interface MediaUpdateRequest {
  /** Which call; may be left out by a session that is in one call only. */
  callId?: CallId | null;
  /** Which room, where it is one. */
  roomId?: RoomId | null;
  /** No sound. */
  muted?: boolean | null;
  /** Whether there are pictures. */
  video?: boolean | null;
  /** The call is on hold. */
  held?: boolean | null;
}

/** What the other side sends now: all that it has said so far. */
export interface MediaUpdatedEvent {
  /** The call. */
  callId: CallId;
  /** The room, where it is one. */
  roomId?: RoomId;
  /** Which participant of the room. */
  participantId?: ParticipantId;
  /** Which side. */
  userId: UserId;
  /** No sound. */
  muted: boolean;
  /** Whether there are pictures; missing if it has not said. */
  video?: boolean;
  /** The call is on hold. */
  held: boolean;
}

/** What a side wants to carry instead. */
export interface OpenUpgrade {
  /** Who asks. */
  from: UserId;
  /** What for. */
  callType: CallType;
}

/** One side of a call, or one participant of a room. */
export interface Participant {
  /** The user. */
  userId: UserId;
  /** The id as a participant of a room; missing for a call of two. */
  participantId?: ParticipantId;
  /** The name to show to people. */
  name?: string;
  /** The side; missing for a room. */
  role?: Role;
  /** The device in the call; a callee has none before the accept. */
  deviceId?: DeviceId;
  /** The time at which it came into the room. */
  joinedAt?: Timestamp;
  /** The time at which it left the room. */
  leftAt?: Timestamp;
  /** True if it is connected to this server; missing for a call that is over. */
  connected?: boolean;
  /** The media that it says it sends, if that is anything out of the ordinary. */
  media?: Media;
  /** The quality of the call as it measured it last. */
  stats?: CallStats;
}

/** A participant of a room: one device, from when it joins until it leaves. */
export type ParticipantId = string;

/** Whether a user can be called. */
export interface PresenceChangedEvent {
  /** Who. */
  userId: UserId;
  /** Whether they can. */
  status: PresenceStatus;
}

/**
 * The presence of a user: if there is anybody to be called.
 *
 * - `online`: At least one device is connected, or may yet resume its session.
 * - `busy`: The same, and the user is in as many calls as the user may be in.
 * - `offline`: No device is connected.
 */
export type PresenceStatus = 'online' | 'busy' | 'offline';

/** Whether each of the users can be called now. */
export interface PresenceSubscribeAnswer {
  /** Each user once. */
  presence: Array<PresenceChangedEvent>;
}

/** See whether users can be called, from now on. */
export interface PresenceSubscribeRequest {
  /** Whom: up to 256, in place of those before. */
  userIds: Array<UserId>;
}

/** A refusal: the code for the program, the message for a person. */
export interface Refusal {
  /** The code of the refusal, one of the documented ones. */
  code: ErrorCode;
  /** The fault, in words that may be shown to the person who sent it. */
  message: string;
  /** The milliseconds after which the same may be tried again. */
  retryAfterMs?: number;
}

/** The relay's work for one call. */
export interface RelayUsage {
  /** The number of allocations that were opened for the call, closed ones included. */
  allocations: number;
  /** Payload bytes from clients to their peers. */
  bytesUp: number;
  /** Payload bytes from peers to clients. */
  bytesDown: number;
}

/** What a participant's last ICE generation has sent to another. */
export interface Relayed {
  /** Who sent it. */
  fromParticipant: ParticipantId;
  /** The last description. */
  description?: RelayedDescription;
  /** The candidates that came since. */
  candidates: Array<IceCandidateEvent>;
}

/** An offer or answer that was relayed before. */
export interface RelayedDescription {
  /** The call. */
  callId: CallId;
  /** Who sent it. */
  from: UserId;
  /** On which device. */
  fromDevice: DeviceId;
  /** The room, where it is one. */
  roomId?: RoomId;
  /** Which participant of the room sent it. */
  fromParticipant?: ParticipantId;
  /** Which of the two it is. */
  type: SdpType;
  /** The description. */
  sdp: Sdp;
  /** Whatever else the sender wrote. */
  [other: string]: unknown;
}

/**
 * A side of a call.
 *
 * - `caller`: The one who called.
 * - `callee`: The one who is called.
 */
export type Role = 'caller' | 'callee';

/** A room, under the name that the application gives it. 1 to 128 bytes. */
export type RoomId = string;

/** Come into a room. */
export interface RoomJoinRequest {
  /** Which: a text that the application chooses. */
  roomId: RoomId;
  /** What the room carries, of whoever comes first; `video` if it is left out. */
  callType?: CallType | null;
  /** Any JSON, shown to the others; up to 4 KiB. */
  metadata?: unknown;
}

/** Somebody came into the room. */
export interface RoomJoinedEvent {
  /** The life of the room. */
  callId: CallId;
  /** The room. */
  roomId: RoomId;
  /** Who: an offer of this one follows. */
  participant: RoomParticipant;
}

/** This device is in the room no more. */
export interface RoomLeaveAnswer {
  /** The life of the room, which goes on if there are others in it. */
  callId: CallId;
  /** The room. */
  roomId: RoomId;
  /** Which participant it was. */
  participantId: ParticipantId;
  /** Why, as the others hear it. */
  reason: EndReason;
}

/** Go out of a room. */
export interface RoomLeaveRequest {
  /** Which. */
  roomId: RoomId;
  /** Which life of it, if that matters. */
  callId?: CallId | null;
  /** Why: a word that the server knows counts as that, and any other text as `hangup`. */
  reason?: string | null;
}

/** Somebody is in the room no more. */
export interface RoomLeftEvent {
  /** The life of the room. */
  callId: CallId;
  /** The room. */
  roomId: RoomId;
  /** Which participant. */
  participantId: ParticipantId;
  /** Who that was. */
  userId: UserId;
  /** Why. */
  reason: EndReason;
}

/** A participant of a room, as the others see it. */
export interface RoomParticipant {
  /** Which: what is for this one alone names it in `to`. */
  participantId: ParticipantId;
  /** Who it is. Two devices of a user are two participants. */
  userId: UserId;
  /** What to show to people, if the token has a name. */
  name?: string;
  /** On which device. */
  deviceId: DeviceId;
  /** False between `call:reconnecting` and `call:reconnected`. */
  connected: boolean;
  /** What it says that it sends, if it is anything out of the ordinary. */
  media?: Media;
  /** What it sent along when it joined: any JSON. */
  metadata?: unknown;
}

/** Where a room stands, for a device that came back to it with a new session. */
export type RoomSyncEvent = RoomView & {
  /** What was relayed to this device, of each of the others of whom there is anything. */
  relayed: Array<Relayed>;
};

/** A room as one participant sees it. */
export interface RoomView {
  /** The life of the room: the call that began with its first participant and ends with its last. */
  callId: CallId;
  /** The room. */
  roomId: RoomId;
  /** What it carries. */
  callType: CallType;
  /** Which participant this device is. */
  participantId: ParticipantId;
  /** The others. */
  participants: Array<RoomParticipant>;
  /** For each `new RTCPeerConnection({ iceServers })`. */
  iceServers: Array<IceServer>;
  /** For this room only; null without a relay, or with a token that does not allow it. */
  turnCredentials: TurnCredentials | null;
  /** Until when the credentials open allocations. */
  expiresAt: Timestamp;
}

/** A session description: the text, or the browser's whole `RTCSessionDescription`. */
export type Sdp = string | SessionDescription;

/** Which of the two descriptions it is. */
export type SdpType = 'offer' | 'answer';

/** The server stops, and closes the connection next. */
export interface ServerDrainingEvent {
  /** In how many milliseconds to connect again. */
  reconnectAfterMs: number;
}

/** An `RTCSessionDescription` as browsers print it. */
export interface SessionDescription {
  /** Which it is; what counts is the event that it comes in. */
  type?: string | null;
  /** The text. */
  sdp: string;
}

/** The first frame, with which the client authenticates, and may resume a session. */
export interface SessionHello {
  /** The user's token; may come in an `Authorization: Bearer` header instead. */
  token?: string | null;
  /** The version of this protocol: 1. */
  protocol?: number | null;
  /** The device, under the name that it gives itself; without a name it is a new one. */
  deviceId?: DeviceId | null;
  /** The session that the client resumes. */
  resume?: SessionResume | null;
}

/** A signaling session: one device of one user, over one connection. */
export type SessionId = string;

/** An earlier session of the client, and the events of it that the client has. */
export interface SessionResume {
  /** The id that `session:welcome` had. */
  sessionId: SessionId;
  /** The number of the last event that the client has; 0 for none. */
  seq: number;
}

/** The session is open: the first event. */
export interface SessionWelcome {
  /** The session: a client that loses its connection goes on with it. */
  sessionId: SessionId;
  /** The user that it belongs to. */
  userId: UserId;
  /** The device that it is on: as the client says, or made for a client that does not. */
  deviceId: DeviceId;
  /** True if the client goes on with the session that it asked for. */
  resumed: boolean;
  /** For `new RTCPeerConnection({ iceServers })`, outside a call. */
  iceServers: Array<IceServer>;
  /** Not for one call; null without a relay, or with a token that does not allow it. */
  turnCredentials: TurnCredentials | null;
}

/** The other side's SDP answer. */
export interface SignalAnswerEvent {
  /** The call. */
  callId: CallId;
  /** Who sent it. */
  from: UserId;
  /** On which device. */
  fromDevice: DeviceId;
  /** The room, where it is one. */
  roomId?: RoomId;
  /** Which participant of the room sent it. */
  fromParticipant?: ParticipantId;
  /** The answer. */
  sdp: Sdp;
  /** Whatever else the sender wrote. */
  [other: string]: unknown;
}

/** The other side's SDP offer. */
export interface SignalOfferEvent {
  /** The call. */
  callId: CallId;
  /** Who sent it. */
  from: UserId;
  /** On which device. */
  fromDevice: DeviceId;
  /** The room, where it is one. */
  roomId?: RoomId;
  /** Which participant of the room sent it. */
  fromParticipant?: ParticipantId;
  /** The offer. */
  sdp: Sdp;
  /** Whatever else the sender wrote. */
  [other: string]: unknown;
}

/** An SDP offer or answer for the other side. */
export interface SignalRequest {
  /** Which call; may be left out by a session that is in one call only. */
  callId?: CallId | null;
  /** Which room, where it is one. */
  roomId?: RoomId | null;
  /** For which participant of the room. */
  to?: ParticipantId | null;
  /** The description. */
  sdp: Sdp;
}

/** A moment in UTC (ISO 8601, with milliseconds). */
export type Timestamp = string;

/** The credentials with which a client uses the relay: `turnCredentials` in payloads. */
export interface TurnCredentials {
  /** `<unix expiry>:<user>`, or `<unix expiry>:<user>:<callId>` for the time of one call. */
  username: string;
  /** base64(HMAC-SHA1(secret, username)). */
  password: string;
  /** The time for which they open allocations, in seconds. */
  ttl: number;
  /** The addresses of the relay, as `turn:` URIs. */
  uris: Array<string>;
}

/** Whether a user may call. */
export interface UserBlockAnswer {
  /** The user. */
  userId: UserId;
  /** True if the user may not call, as far as this session is concerned. */
  blocked: boolean;
}

/** Take no calls from a user any more. */
export interface UserBlockRequest {
  /** Whose. */
  userId: UserId;
  /** False takes them again; true if it is left out. */
  blocked?: boolean | null;
}

/** A user: the `sub` of a token, the user part of a TURN username. 1 to 128 bytes. */
export type UserId = string;
