//! Sessions that do nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use serde::Serialize;
use tokio::{sync::watch, task::JoinSet};

use super::{session::Session, signed_in, users::Users};
use crate::{LoadArgs, process::Process, report::line};

/// The longest time to close a session.
const TO_CLOSE: Duration = Duration::from_secs(10);

/// The longest time after the end of the last session until the server's memory is read.
const AFTER_CLOSE: Duration = Duration::from_secs(1);

/// The memory of sessions that do nothing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IdleReport {
    sessions: usize,
    sign_ins_per_second: f64,
    cpu_us_per_sign_in: f64,
    memory_per_session: f64,
    /// The memory before the run, with all sessions, and a while after the last has closed, in
    /// bytes.
    memory_before: u64,
    memory_with_sessions: u64,
    memory_after: u64,
}

/// Opens sessions, holds them for as long as the arguments say, and closes them.
pub(super) async fn run(
    args: &LoadArgs,
    users: Arc<Users>,
    process: &Process,
    sessions: usize,
) -> anyhow::Result<IdleReport> {
    let (before, cpu, started) = (process.memory()?, process.cpu()?, Instant::now());
    let opened = signed_in(sessions, |number| {
        let users = users.clone();
        async move { users.open(number).await }
    });
    let opened = opened.await?;
    let (took, cpu) = (started.elapsed(), process.cpu()?.saturating_sub(cpu));
    let (over, wait) = watch::channel(());
    let mut idle = JoinSet::new();
    for session in opened {
        idle.spawn(hold(session, wait.clone()));
    }
    tokio::select! {
        () = tokio::time::sleep(args.duration) => {}
        Some(_) = idle.join_next() => bail!("the server has closed a session"),
    }
    let with = process.memory()?;
    drop(over);
    let _ =
        tokio::time::timeout(TO_CLOSE, async { while idle.join_next().await.is_some() {} }).await;
    let after = process.memory_settled(before, AFTER_CLOSE)?;
    Ok(IdleReport {
        sessions,
        sign_ins_per_second: sessions as f64 / took.as_secs_f64(),
        cpu_us_per_sign_in: cpu.as_secs_f64() * 1e6 / sessions as f64,
        memory_per_session: with.saturating_sub(before) as f64 / sessions as f64,
        memory_before: before,
        memory_with_sessions: with,
        memory_after: after,
    })
}

/// Reads messages, as any client does, and closes at the end.
async fn hold(mut session: Session, mut over: watch::Receiver<()>) {
    tokio::select! {
        // The channel carries nothing, and only ends.
        _ = over.changed() => session.close().await,
        () = async { while session.receive().await.is_ok() {} } => {}
    }
}

impl IdleReport {
    /// Prints the table for a person.
    pub(super) fn print(&self) {
        line("sessions", self.sessions.to_string());
        let (rate, cpu) = (self.sign_ins_per_second, self.cpu_us_per_sign_in);
        line("signed in", format!("{rate:.0} a second, {cpu:.0} µs of the server's CPU each"));
        line("server's memory", format!("{:.0} bytes a session", self.memory_per_session));
        let (before, with, after) =
            (self.memory_before, self.memory_with_sessions, self.memory_after);
        line("before, with, after", format!("{before}, {with} and {after} bytes"));
    }
}
