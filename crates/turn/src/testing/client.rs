//! A TURN client.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ::stun::{
    attributes::*,
    integrity::MessageIntegrity,
    message::{Message, MessageType, Method as WireMethod, Setter, *},
};
use callbox_base::ids::{CallId, UserId};
use callbox_stun::{
    ChannelData, HEADROOM, Packet, PasswordAlgorithm, roomy,
    testing::{is_signed_sha256, sha256_of, sign_sha256},
};

use super::{Answer, REALM, World, channel, data, peer, peer_at, udp};
use crate::FromClient;

/// The way in which a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// As RFC 5389 has it: an MD5 key and MESSAGE-INTEGRITY.
    Old,
    /// As RFC 8489 has it: what was offered, the choice, and MESSAGE-INTEGRITY-SHA256.
    New { algorithm: PasswordAlgorithm, userhash: bool },
}

/// The proof that a new client chooses.
pub(crate) const NEW: Proof = Proof::New { algorithm: PasswordAlgorithm::Sha256, userhash: false };

/// A TURN client, and the proof of who it is.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub address: SocketAddr,
    pub username: String,
    pub password: String,
    pub nonce: String,
    pub proof: Proof,
    transactions: u64,
}

impl Client {
    pub(crate) fn new(address: &str, user: &str) -> Self {
        Self {
            address: address.parse().unwrap(),
            username: user.into(),
            password: "pass".into(),
            nonce: String::new(),
            proof: Proof::Old,
            transactions: 0,
        }
    }

    /// Returns the client with another way to prove who it is.
    pub(crate) fn with(self, proof: Proof) -> Self {
        Self { proof, ..self }
    }

    /// Makes a client with minted credentials.
    pub(crate) fn minted(
        world: &World,
        address: &str,
        user: &str,
        call: Option<CallId>,
        ttl: u64,
    ) -> Self {
        let user = UserId::new(user).unwrap();
        let ttl = Duration::from_secs(ttl);
        let minted = world.secrets.mint(world.now, ttl, &user, call, &[]).unwrap();
        Self { username: minted.username, password: minted.password, ..Self::new(address, "x") }
    }

    /// Returns an unsigned message.
    pub(crate) fn plain(
        &mut self,
        method: WireMethod,
        class: MessageClass,
        attributes: &[Box<dyn Setter>],
    ) -> Message {
        self.transactions += 1;
        let mut message = Message::new();
        message.typ = MessageType { method, class };
        message.transaction_id.0[4..].copy_from_slice(&self.transactions.to_be_bytes());
        message.transaction_id.0[..2].copy_from_slice(&self.address.port().to_be_bytes());
        message.write_header();
        for attribute in attributes {
            attribute.add_to(&mut message).unwrap();
        }
        message
    }

    /// Returns a request that lacks but its integrity.
    pub(crate) fn unsigned(
        &mut self,
        method: WireMethod,
        attributes: &[Box<dyn Setter>],
    ) -> Message {
        let mut message = self.plain(method, CLASS_REQUEST, attributes);
        match self.proof {
            Proof::New { userhash: true, .. } => {
                let hash = sha256_of(&[&self.username, REALM]);
                message.add(ATTR_USER_HASH, &hash);
            }
            _ => message.add(ATTR_USERNAME, self.username.as_bytes()),
        }
        message.add(ATTR_REALM, REALM.as_bytes());
        message.add(ATTR_NONCE, self.nonce.as_bytes());
        if let Proof::New { algorithm, .. } = self.proof {
            message.add(ATTR_PASSWORD_ALGORITHMS, &PasswordAlgorithm::OFFER);
            let number = if algorithm == PasswordAlgorithm::Md5 { 1 } else { 2 };
            message.add(ATTR_PASSWORD_ALGORITHM, &[0, number, 0, 0]);
        }
        message
    }

    /// Returns a signed request.
    pub(crate) fn signed(&mut self, method: WireMethod, attributes: &[Box<dyn Setter>]) -> Vec<u8> {
        let mut message = self.unsigned(method, attributes);
        match self.proof {
            Proof::Old => self.md5_key().add_to(&mut message).unwrap(),
            Proof::New { .. } => sign_sha256(&mut message, &self.key(), 32),
        }
        message.raw
    }

    fn md5_key(&self) -> MessageIntegrity {
        let (user, password) = (self.username.clone(), self.password.clone());
        MessageIntegrity::new_long_term_integrity(user, REALM.into(), password)
    }

    /// Returns the key that the client has.
    pub(crate) fn key(&self) -> Vec<u8> {
        match self.proof {
            Proof::New { algorithm: PasswordAlgorithm::Sha256, .. } => {
                sha256_of(&[&self.username, REALM, &self.password])
            }
            _ => self.md5_key().0,
        }
    }

    /// Returns true if an answer is signed with the client's key, in the one attribute that it
    /// expects (RFC 8489 §9.2.4).
    pub(crate) fn accepts(&self, answer: &Answer) -> bool {
        let mut message = answer.message.clone();
        let sha1 = MessageIntegrity(self.key()).check(&mut message).is_ok();
        let sha256 = is_signed_sha256(&message.raw, &self.key());
        let has = |typ| answer.raw(typ).is_some();
        let (old, new) = (has(ATTR_MESSAGE_INTEGRITY), has(ATTR_MESSAGE_INTEGRITY_SHA256));
        match self.proof {
            Proof::Old => sha1 && old && !new,
            Proof::New { .. } => sha256 && new && !old,
        }
    }

    /// Sends bytes, and returns the one answer to them.
    pub(crate) fn exchange(&mut self, world: &mut World, bytes: &[u8]) -> Answer {
        world.client_sends(self.address, bytes);
        let mut answers = world.answers(self.address);
        assert_eq!(answers.len(), 1, "one answer to a request");
        answers.remove(0)
    }

    /// Makes a signed request; with a fresh nonce if the one at hand is stale. A success must be
    /// signed by the server.
    pub(crate) fn request(
        &mut self,
        world: &mut World,
        method: WireMethod,
        attributes: &[Box<dyn Setter>],
    ) -> Answer {
        for _ in 0..2 {
            let bytes = self.signed(method, attributes);
            let answer = self.exchange(world, &bytes);
            if answer.code == Some(438) {
                self.nonce = answer.text(ATTR_NONCE).expect("a fresh nonce");
                continue;
            }
            if answer.code.is_none() {
                assert!(self.accepts(&answer), "the server signs a success");
            }
            return answer;
        }
        panic!("the server's own nonce is stale");
    }

    pub(crate) fn allocate(&mut self, world: &mut World) -> SocketAddr {
        let answer = self.request(world, METHOD_ALLOCATE, &[udp()]);
        assert_eq!(answer.code, None);
        answer.relayed()
    }

    pub(crate) fn permit(&mut self, world: &mut World, ip: &str) -> Answer {
        let ip: IpAddr = ip.parse().unwrap();
        self.request(world, METHOD_CREATE_PERMISSION, &[peer_at(SocketAddr::new(ip, 9))])
    }

    pub(crate) fn bind(&mut self, world: &mut World, number: u16, to: &str) -> Answer {
        self.request(world, METHOD_CHANNEL_BIND, &[channel(number), peer(to)])
    }

    /// Sends a Send indication. Returns the address that it went to, and the payload.
    pub(crate) fn send(
        &mut self,
        world: &mut World,
        to: SocketAddr,
        payload: &[u8],
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let message = self.plain(METHOD_SEND, CLASS_INDICATION, &[peer_at(to), data(payload)]);
        Self::forwarded(world.client_sends(self.address, &message.raw))
    }

    /// Sends a ChannelData message. Returns the address that it went to, and the payload.
    pub(crate) fn channel_data(
        &mut self,
        world: &mut World,
        number: u16,
        payload: &[u8],
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let number = callbox_stun::ChannelNumber::new(number)?;
        let (mut buffer, range) = roomy(payload);
        let mut packet = Packet::new(&mut buffer, range);
        ChannelData::wrap(&mut packet, number);
        assert!(packet.bytes().len() <= payload.len() + HEADROOM);
        Self::forwarded(world.client_sends(self.address, packet.bytes()))
    }

    fn forwarded((verdict, bytes): (FromClient, Vec<u8>)) -> Option<(SocketAddr, Vec<u8>)> {
        match verdict {
            FromClient::Forward { to, .. } => Some((to, bytes)),
            FromClient::HandOver(way) => Some((way.to, bytes)),
            _ => None,
        }
    }
}
