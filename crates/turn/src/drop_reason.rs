//! The reasons for which datagrams are dropped, as metrics have them.

/// The reason for which a datagram was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// Neither STUN nor ChannelData.
    Foreign,
    /// STUN, but malformed, or with a wrong fingerprint.
    BadMessage,
    /// A response, or a method that is not served.
    NotARequest,
    /// ChannelData whose header lies.
    BadChannelData,
    /// A Send indication without a peer or data, or with something not understood.
    BadIndication,
    /// Data from a 5-tuple without an allocation.
    NoAllocation,
    /// ChannelData for a channel that is not bound.
    NoChannel,
    /// To or from a peer without a permission.
    NoPermission,
    /// To a peer that may not be reached.
    ForbiddenPeer,
    /// More bytes than its allocation or its user may relay in a second.
    Bandwidth,
    /// One packet more than its allocation or its user may relay in a second.
    PacketRate,
    /// Too long for a datagram, with the header that it needs.
    TooLong,
    /// No answer, since the address has had too many.
    ReplyLimit,
    /// It came while the socket's buffer was full, and the system dropped it.
    ReceiveBufferFull,
    /// The socket's buffer was full when it was to be sent.
    SendBufferFull,
    /// Its client has a stream and does not read what comes, or has lost it and may come back.
    SlowReader,
    /// The system refused to send it.
    SendError,
}

impl DropReason {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 17] = [
        Self::Foreign,
        Self::BadMessage,
        Self::NotARequest,
        Self::BadChannelData,
        Self::BadIndication,
        Self::NoAllocation,
        Self::NoChannel,
        Self::NoPermission,
        Self::ForbiddenPeer,
        Self::Bandwidth,
        Self::PacketRate,
        Self::TooLong,
        Self::ReplyLimit,
        Self::ReceiveBufferFull,
        Self::SendBufferFull,
        Self::SlowReader,
        Self::SendError,
    ];

    /// Returns the reason as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::BadMessage => "bad_message",
            Self::NotARequest => "not_a_request",
            Self::BadChannelData => "bad_channel_data",
            Self::BadIndication => "bad_indication",
            Self::NoAllocation => "no_allocation",
            Self::NoChannel => "no_channel",
            Self::NoPermission => "no_permission",
            Self::ForbiddenPeer => "forbidden_peer",
            Self::Bandwidth => "bandwidth",
            Self::PacketRate => "packet_rate",
            Self::TooLong => "too_long",
            Self::ReplyLimit => "reply_limit",
            Self::ReceiveBufferFull => "receive_buffer_full",
            Self::SendBufferFull => "send_buffer_full",
            Self::SlowReader => "slow_reader",
            Self::SendError => "send_error",
        }
    }
}
