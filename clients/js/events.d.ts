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
  /** A participant joined the room. */
  'room:joined': RoomJoinedEvent;
  /** A participant left the room. */
  'room:left': RoomLeftEvent;
  /** The state of a room, for a device that came back without its session. */
  'room:sync': RoomSyncEvent;
  /** A user can be called, or cannot any more. */
  'presence:changed': PresenceChangedEvent;
  /** The server stops; it says after what time to connect again. */
  'server:draining': ServerDrainingEvent;
  /** An event that wanted no answer was refused, or, over Socket.IO, the connection is closed next. */
  'error': ErrorEvent;
}

/** The session's token is about to expire. */
export interface AuthExpiringEvent {
  /** The time at which the token expires. */
  expiresAt: Timestamp;
}

/** The session goes on with the token. */
export interface AuthRefreshAnswer {
  /** The time at which the token expires. */
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
  /** The callee. */
  calleeId: UserId;
  /** The callee's device. */
  deviceId: DeviceId;
}

/** The call that the request was about. */
export interface CallAnswer {
  /** The call. */
  callId: CallId;
  /** The room, if the call is one. */
  roomId?: RoomId;
}

/** The call is over, for this device at least. */
export interface CallEndAnswer {
  /** The call. */
  callId: CallId;
  /** `ended` or `failed`; the present state of a call that goes on without this device. */
  state: CallState;
  /** The reason of the end. */
  reason: EndReason;
  /** Seconds since the accept, 0 without one. */
  duration: number;
}

/** A request that ends a call. */
export interface CallEndRequest {
  /** The call; optional in a session with exactly one call. */
  callId?: CallId | null;
  /**
   * The reason: `busy` of a refusal, `ice_failed` or `connection_lost` of an accepted call; any
   * other text counts as none.
   */
  reason?: string | null;
}

/** The call is over for this session. */
export interface CallEndedEvent {
  /** The call. */
  callId: CallId;
  /** The room, if the call is one. */
  roomId?: RoomId;
  /** The reason of the end. */
  reason: EndReason;
  /** The user who ended it; null if the server did. */
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
  /** The caller. */
  callerId: UserId;
  /** The caller's display name, if the caller's token has one. */
  callerName?: string;
  /** The media of the call. */
  callType: CallType;
  /** The caller's metadata: any JSON. */
  metadata?: unknown;
  /** The device that transfers the call; `callerId` is then the other side. */
  transferFrom?: DeviceId;
  /** The time until which it rings. */
  expiresAt: Timestamp;
  /** For `new RTCPeerConnection({ iceServers })`. */
  iceServers: Array<IceServer>;
  /** `relay` with `--force-relay`: for `new RTCPeerConnection({ iceTransportPolicy })`. */
  iceTransportPolicy?: IceTransportPolicy;
  /** For this call only; null without a relay, or with a token that does not allow it. */
  turnCredentials: TurnCredentials | null;
}

/** The call has begun, or the other side's was taken. */
export interface CallInitiateAnswer {
  /** The call. */
  callId: CallId;
  /** The state of the call. */
  state: CallState;
  /** The media of the call: the requested ones, unless it is the other's call. */
  callType: CallType;
  /** True where the two have called each other: it is the other's call, which this device took. */
  glare?: boolean;
  /** The time until which it rings; omitted if it was taken. */
  expiresAt?: Timestamp;
  /** For `new RTCPeerConnection({ iceServers })`. */
  iceServers: Array<IceServer>;
  /** `relay` with `--force-relay`: for `new RTCPeerConnection({ iceTransportPolicy })`. */
  iceTransportPolicy?: IceTransportPolicy;
  /** For this call only; null without a relay, or with a token that does not allow it. */
  turnCredentials: TurnCredentials | null;
}

/** Call a user. */
export interface CallInitiateRequest {
  /** The user to call. */
  targetUserId: UserId;
  /** The media of the call. */
  callType: CallType;
  /** Any JSON, shown to the callee; up to 4 KiB. */
  metadata?: unknown;
}

/** Anything that the other side has to say. */
export interface CallMessageEvent {
  /** The call. */
  callId: CallId;
  /** The sender. */
  from: UserId;
  /** The sender's device. */
  fromDevice: DeviceId;
  /** The room, if the call is one. */
  roomId?: RoomId;
  /** The sender as a participant of the room. */
  fromParticipant?: ParticipantId;
  /** The content: any JSON. */
  data: unknown;
  /** Any other fields that the sender wrote. */
  [other: string]: unknown;
}

/** Anything that the sides have to say to each other. */
export interface CallMessageRequest {
  /** The call; optional in a session with exactly one call. */
  callId?: CallId | null;
  /** The room, if the call is one. */
  roomId?: RoomId | null;
  /** The participant of the room that it is for; all of them if omitted. */
  to?: ParticipantId | null;
  /** Any JSON. */
  data: unknown;
}

/** That side is back. */
export interface CallReconnectedEvent {
  /** The call. */
  callId: CallId;
  /** The room, if the call is one. */
  roomId?: RoomId;
  /** The participant of the room. */
  participantId?: ParticipantId;
  /** The user of that side. */
  userId: UserId;
}

/** A side lost its connection, or said that its media stopped. */
export interface CallReconnectingEvent {
  /** The call. */
  callId: CallId;
  /** The room, if the call is one. */
  roomId?: RoomId;
  /** The participant of the room. */
  participantId?: ParticipantId;
  /** The user of that side. */
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
  /** The call; optional in a session with exactly one call. */
  callId?: CallId | null;
  /** The room, if the call is one. */
  roomId?: RoomId | null;
}

/** A device of the callee alerts its user. */
export interface CallRingingEvent {
  /** The call. */
  callId: CallId;
  /** The callee. */
  calleeId: UserId;
  /** The callee's device. */
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
 * - `ended`: Ended without a failure.
 * - `failed`: Ended by a failure.
 */
export type CallState = 'idle' | 'initiating' | 'ringing' | 'connecting' | 'connected' | 'reconnecting' | 'ended' | 'failed';

/** The call that the request was about, and its state now. */
export interface CallStateAnswer {
  /** The call. */
  callId: CallId;
  /** The room, if the call is one. */
  roomId?: RoomId;
  /** The state of the call. */
  state: CallState;
}

/** The call changed its state, or the session came back to it. */
export interface CallStateEvent {
  /** The call. */
  callId: CallId;
  /** The whole record of the call. */
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

/** The quality of the call, as this side measures it. */
export type CallStatsRequest = CallStats & {
  /** The call; optional in a session with exactly one call. */
  callId?: CallId | null;
  /** The room, if the call is one. */
  roomId?: RoomId | null;
};

/** The state of a call, for a device that came back to it with a new session. */
export interface CallSyncEvent {
  /** The call. */
  callId: CallId;
  /** The whole record of the call. */
  call: CallRecord;
  /** The upgrade that a side asked for, if the other has not answered. */
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
  /** The time until which it rings. */
  expiresAt: Timestamp;
}

/** Go on with the call on another device. */
export interface CallTransferRequest {
  /** The call; optional in a session with exactly one call. */
  callId?: CallId | null;
  /** The device, which must be connected. */
  deviceId: DeviceId;
}

/** A side goes on with the call on another device, or does not. */
export interface CallTransferredEvent {
  /** The call. */
  callId: CallId;
  /** The user of that side. */
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

/** The media of the call, until the other side accepts an upgrade. */
export interface CallUpgradeAnswer {
  /** The call. */
  callId: CallId;
  /** The media of the call now. */
  callType: CallType;
}

/** The other side wants the call to carry something else. */
export interface CallUpgradeEvent {
  /** The call. */
  callId: CallId;
  /** The user who asks. */
  from: UserId;
  /** That user's device. */
  fromDevice: DeviceId;
  /** The media that the call would have. */
  callType: CallType;
}

/** Carry something else from now on, or not. */
export interface CallUpgradeRequest {
  /** The call; optional in a session with exactly one call. */
  callId?: CallId | null;
  /** The media that the call would have. */
  callType: CallType;
  /** False for no to what the other side asked for. */
  accept?: boolean;
}

/** The other side said yes or no to `call:upgrade`. */
export interface CallUpgradedEvent {
  /** The call. */
  callId: CallId;
  /** The media of the call from now on. */
  callType: CallType;
  /** True if the upgrade was accepted. */
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
  /** The sender. */
  from: UserId;
  /** The sender's device. */
  fromDevice: DeviceId;
  /** The room, if the call is one. */
  roomId?: RoomId;
  /** The sender as a participant of the room. */
  fromParticipant?: ParticipantId;
  /** The candidate; null at the end of candidates. */
  candidate: IceCandidate | null;
  /** Any other fields that the sender wrote. */
  [other: string]: unknown;
}

/** An `RTCIceCandidate` as browsers print it. */
export interface IceCandidateInit {
  /** The candidate line; empty at the end of candidates. */
  candidate: string;
  /** The identification tag of its media section. */
  sdpMid?: string | null;
  /** The index of its media section, from 0. */
  sdpMLineIndex?: number | null;
  /** The ICE generation it belongs to. */
  usernameFragment?: string | null;
}

/** An ICE candidate for the other side. */
export interface IceCandidateRequest {
  /** The call; optional in a session with exactly one call. */
  callId?: CallId | null;
  /** The room, if the call is one. */
  roomId?: RoomId | null;
  /** The participant of the room that it is for. */
  to?: ParticipantId | null;
  /** The candidate; null at the end of candidates. */
  candidate: IceCandidate | null;
}

/** Fresh relay credentials. */
export interface IceRefreshAnswer {
  /** The call they are for; missing where they are for none. */
  callId?: CallId;
  /** The room, if the call is one. */
  roomId?: RoomId;
  /** For `RTCPeerConnection.setConfiguration`. */
  iceServers: Array<IceServer>;
  /** `relay` with `--force-relay`: for `new RTCPeerConnection({ iceTransportPolicy })`. */
  iceTransportPolicy?: IceTransportPolicy;
  /** Null without a relay, or with a token that does not allow it. */
  turnCredentials: TurnCredentials | null;
  /** The time until which the credentials open allocations. */
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
  /** The room, if the call is one. */
  roomId?: RoomId;
  /** For `RTCPeerConnection.setConfiguration`. */
  iceServers: Array<IceServer>;
  /** `relay` with `--force-relay`: for `new RTCPeerConnection({ iceTransportPolicy })`. */
  iceTransportPolicy?: IceTransportPolicy;
  /** For this call only; null with a token that does not allow it. */
  turnCredentials: TurnCredentials | null;
  /** The time until which the credentials open allocations. */
  expiresAt: Timestamp;
}

/**
 * The `RTCIceTransportPolicy` that a client is to use: the server forces it, for tests.
 *
 * - `relay`: Relayed candidates alone.
 */
export type IceTransportPolicy = 'relay';

/** The media that a side sends now, as it said with `media:update`. */
export interface Media {
  /** True if it sends no sound. */
  muted: boolean;
  /** True if it sends pictures; missing if it has not said. */
  video?: boolean;
  /** True if it has put the call on hold. */
  held: boolean;
}

/** The media that this side sends now; an omitted field keeps its value. */
export interface MediaUpdateRequest {
  /** The call; optional in a session with exactly one call. */
  callId?: CallId | null;
  /** The room, if the call is one. */
  roomId?: RoomId | null;
  /** True if no sound is sent. */
  muted?: boolean | null;
  /** True if video is sent. */
  video?: boolean | null;
  /** True if the call is on hold. */
  held?: boolean | null;
}

/** The media that the other side sends now, complete. */
export interface MediaUpdatedEvent {
  /** The call. */
  callId: CallId;
  /** The room, if the call is one. */
  roomId?: RoomId;
  /** The participant of the room. */
  participantId?: ParticipantId;
  /** The user of that side. */
  userId: UserId;
  /** True if no sound is sent. */
  muted: boolean;
  /** True if video is sent; omitted if unknown. */
  video?: boolean;
  /** True if the call is on hold. */
  held: boolean;
}

/** An upgrade that one side asked for and the other has not answered. */
export interface OpenUpgrade {
  /** The user who asked. */
  from: UserId;
  /** The media that the call would have. */
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

/** The presence of a user. */
export interface PresenceChangedEvent {
  /** The user. */
  userId: UserId;
  /** The user's presence. */
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

/** The present presence of each of the users. */
export interface PresenceSubscribeAnswer {
  /** Each user once. */
  presence: Array<PresenceChangedEvent>;
}

/** See whether users can be called, from now on. */
export interface PresenceSubscribeRequest {
  /** The users to watch, up to 256, in place of those before. */
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

/** The description and candidates of a participant's last ICE generation, as relayed to another. */
export interface Relayed {
  /** The sender. */
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
  /** The sender. */
  from: UserId;
  /** The sender's device. */
  fromDevice: DeviceId;
  /** The room, if the call is one. */
  roomId?: RoomId;
  /** The sender as a participant of the room. */
  fromParticipant?: ParticipantId;
  /** Offer or answer. */
  type: SdpType;
  /** The description. */
  sdp: Sdp;
  /** Any other fields that the sender wrote. */
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
  /** The room's name: a text that the application chooses. */
  roomId: RoomId;
  /** The media of the room, set by its first participant; `video` if omitted. */
  callType?: CallType | null;
  /** Any JSON, shown to the others; up to 4 KiB. */
  metadata?: unknown;
}

/** A participant joined the room. */
export interface RoomJoinedEvent {
  /** The call id of the room's current session. */
  callId: CallId;
  /** The room. */
  roomId: RoomId;
  /** The new participant, who sends an offer next. */
  participant: RoomParticipant;
}

/** This device is in the room no more. */
export interface RoomLeaveAnswer {
  /** The call id of the room's current session, which goes on if there are others in it. */
  callId: CallId;
  /** The room. */
  roomId: RoomId;
  /** The participant that this device was. */
  participantId: ParticipantId;
  /** The reason, as the others hear it. */
  reason: EndReason;
}

/** Go out of a room. */
export interface RoomLeaveRequest {
  /** The room. */
  roomId: RoomId;
  /** The call id of the room's current session; optional. */
  callId?: CallId | null;
  /** The reason: one of the known values; any other text counts as `hangup`. */
  reason?: string | null;
}

/** A participant left the room. */
export interface RoomLeftEvent {
  /** The call id of the room's current session. */
  callId: CallId;
  /** The room. */
  roomId: RoomId;
  /** The participant. */
  participantId: ParticipantId;
  /** The participant's user. */
  userId: UserId;
  /** The reason of the departure. */
  reason: EndReason;
}

/** A participant of a room, as the others see it. */
export interface RoomParticipant {
  /** The participant's id, used in `to` for payloads to it alone. */
  participantId: ParticipantId;
  /** The user. Two devices of a user are two participants. */
  userId: UserId;
  /** The display name, if the token has one. */
  name?: string;
  /** The participant's device. */
  deviceId: DeviceId;
  /** False between `call:reconnecting` and `call:reconnected`. */
  connected: boolean;
  /** The reported media state; omitted if it is the default. */
  media?: Media;
  /** The metadata of its `room:join`: any JSON. */
  metadata?: unknown;
}

/** The state of a room, for a device that came back to it with a new session. */
export type RoomSyncEvent = RoomView & {
  /** The latest relayed description and candidates of each other participant that sent any. */
  relayed: Array<Relayed>;
};

/** A room as one participant sees it. */
export interface RoomView {
  /** The call id of the room's current session, from its first participant to its last. */
  callId: CallId;
  /** The room. */
  roomId: RoomId;
  /** The media of the room. */
  callType: CallType;
  /** This device's own participant id. */
  participantId: ParticipantId;
  /** The others. */
  participants: Array<RoomParticipant>;
  /** For each `new RTCPeerConnection({ iceServers })`. */
  iceServers: Array<IceServer>;
  /** `relay` with `--force-relay`: for `new RTCPeerConnection({ iceTransportPolicy })`. */
  iceTransportPolicy?: IceTransportPolicy;
  /** For this room only; null without a relay, or with a token that does not allow it. */
  turnCredentials: TurnCredentials | null;
  /** The time until which the credentials open allocations. */
  expiresAt: Timestamp;
}

/** A session description: the text, or the browser's whole `RTCSessionDescription`. */
export type Sdp = string | SessionDescription;

/** The type of a description. */
export type SdpType = 'offer' | 'answer';

/** The server stops, and closes the connection next. */
export interface ServerDrainingEvent {
  /** The milliseconds after which to connect again. */
  reconnectAfterMs: number;
}

/** An `RTCSessionDescription` as browsers print it. */
export interface SessionDescription {
  /** The type; ignored, since the name of the event gives it. */
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
  /** `relay` with `--force-relay`: for `new RTCPeerConnection({ iceTransportPolicy })`. */
  iceTransportPolicy?: IceTransportPolicy;
  /** Not for one call; null without a relay, or with a token that does not allow it. */
  turnCredentials: TurnCredentials | null;
}

/** The other side's SDP answer. */
export interface SignalAnswerEvent {
  /** The call. */
  callId: CallId;
  /** The sender. */
  from: UserId;
  /** The sender's device. */
  fromDevice: DeviceId;
  /** The room, if the call is one. */
  roomId?: RoomId;
  /** The sender as a participant of the room. */
  fromParticipant?: ParticipantId;
  /** The answer. */
  sdp: Sdp;
  /** Any other fields that the sender wrote. */
  [other: string]: unknown;
}

/** The other side's SDP offer. */
export interface SignalOfferEvent {
  /** The call. */
  callId: CallId;
  /** The sender. */
  from: UserId;
  /** The sender's device. */
  fromDevice: DeviceId;
  /** The room, if the call is one. */
  roomId?: RoomId;
  /** The sender as a participant of the room. */
  fromParticipant?: ParticipantId;
  /** The offer. */
  sdp: Sdp;
  /** Any other fields that the sender wrote. */
  [other: string]: unknown;
}

/** An SDP offer or answer for the other side. */
export interface SignalRequest {
  /** The call; optional in a session with exactly one call. */
  callId?: CallId | null;
  /** The room, if the call is one. */
  roomId?: RoomId | null;
  /** The participant of the room that it is for. */
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

/** The blocking of a user. */
export interface UserBlockAnswer {
  /** The user. */
  userId: UserId;
  /** True if the user may not call, as far as this session is concerned. */
  blocked: boolean;
}

/** Take no calls from a user any more. */
export interface UserBlockRequest {
  /** The user to block. */
  userId: UserId;
  /** False takes them again; true if it is left out. */
  blocked?: boolean | null;
}

/** A user: the `sub` of a token, the user part of a TURN username. 1 to 128 bytes. */
export type UserId = string;
