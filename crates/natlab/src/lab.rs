//! A lab that is up.

use std::{
    collections::BTreeMap,
    env, io,
    os::unix::net::UnixListener,
    process::{Child, Stdio},
};

use callbox_sys as sys;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    action::Action,
    control::{Channel, Description, LabName, Request, Response},
    error::{LabError, Tried},
    kind::Kind,
    manager::{Start, nft},
    plan::Plan,
    process::{Process, Task},
    stages::Stage,
};

/// A lab: its networks, and the processes in them. Dropping it ends all of them; so does the end of
/// the process that has it, however it ends.
#[derive(Debug)]
pub struct Lab {
    name: LabName,
    description: Description,
    /// The channel to the manager and the process that keeps the lab, unless another process has
    /// them.
    own: Option<(Channel, Child)>,
}

impl Lab {
    /// Builds a lab, and returns once its server is ready.
    ///
    /// # Errors
    /// The system does not allow it or lacks something; the text says what to do.
    pub fn start(plan: &Plan) -> Result<Self, LabError> {
        Self::start_as(LabName::unique(), plan)
    }

    pub(crate) fn start_as(name: LabName, plan: &Plan) -> Result<Self, LabError> {
        // Before anything is built, since the error of the manager would be longer.
        nft::find()?;
        let listener = name.listen().map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => LabError::new(format!(
                "there is a lab with the name {}; end it with `callbox natlab down {0}`, or choose \
                 another name",
                name.as_str()
            )),
            _ => LabError::system(format_args!("lab {}", name.as_str()), error),
        })?;
        let (channel, child) = launch(plan, listener)?;
        let mut lab =
            Self { name, description: Description::default(), own: Some((channel, child)) };
        let start = Start { name: lab.name.clone(), plan: plan.clone() };
        lab.description = lab.greet(&start)?;
        Ok(lab)
    }

    /// Sends the plan to the manager, and waits until the lab is up.
    fn greet(&self, start: &Start) -> Result<Description, LabError> {
        let failed = "the lab has ended while it was built";
        let Some((channel, _)) = &self.own else {
            return Err(LabError::new(failed));
        };
        channel.send(start).tried(failed)?;
        match channel.receive().tried(failed)? {
            Response::Description(description) => Ok(description),
            Response::Failed(text) => Err(LabError::new(text)),
            _ => Err(LabError::new(failed)),
        }
    }

    /// Uses a lab that another process has.
    pub(crate) fn connect(name: LabName) -> Result<Self, LabError> {
        let mut lab = Self { name, description: Description::default(), own: None };
        match lab.ask(&Request::Describe)? {
            Response::Description(description) => lab.description = description,
            _ => return Err(lab.unexpected()),
        }
        Ok(lab)
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Returns the names of the sides.
    pub fn sides(&self) -> impl Iterator<Item = &str> {
        self.description.kinds.keys().map(String::as_str)
    }

    /// Returns the kind of a side, if there is such a side.
    pub fn kind(&self, side: &str) -> Option<Kind> {
        self.description.kinds.get(side).copied()
    }

    /// Returns the environment of programs on a side, besides that of the process that starts them.
    pub fn environment(&self, side: &str) -> Option<&BTreeMap<String, String>> {
        self.description.environments.get(side)
    }

    /// Returns how the links are made that are not ideal, by side.
    pub(crate) fn links(&self) -> &BTreeMap<String, String> {
        &self.description.links
    }

    /// Starts a program on a side, or with `internet` for the side in the public network.
    ///
    /// # Errors
    /// There is no such side or program.
    pub fn spawn(&self, side: &str, mut task: Task) -> Result<Process, LabError> {
        let (channel, streams) = (self.open()?, task.streams()?);
        let directory = env::current_dir().tried("there is no current directory")?;
        let request = Request::Spawn(Box::new(task.request(side, directory)));
        channel.send_with(&request, &streams.of_child()).map_err(|_| self.unexpected())?;
        match self.read(&channel)? {
            Response::Started => Ok(Process::new(channel, streams)),
            _ => Err(self.unexpected()),
        }
    }

    /// Changes the network of a side, and returns a sentence on it.
    ///
    /// # Errors
    /// There is no such side, or the system refuses the change.
    pub fn act(&self, side: &str, action: &Action) -> Result<String, LabError> {
        match self.ask(&Request::Act(side.to_owned(), *action))? {
            Response::Done(text) => Ok(text),
            _ => Err(self.unexpected()),
        }
    }

    /// Ends a lab that another process has.
    pub(crate) fn take_down(&self) -> Result<(), LabError> {
        let channel = self.open()?;
        channel.send(&Request::Down).map_err(|_| self.unexpected())?;
        self.read(&channel)?;
        // The end of the channel is that of the manager, and the name is free then.
        let _ = receive::<Response>(&channel);
        Ok(())
    }

    /// Waits until the manager has ended.
    pub(crate) fn wait(&mut self) {
        if let Some((_, child)) = &mut self.own {
            // It has ended in this case, too.
            let _ = child.wait();
        }
    }

    fn ask(&self, request: &impl Serialize) -> Result<Response, LabError> {
        let channel = self.open()?;
        channel.send(request).map_err(|_| self.unexpected())?;
        self.read(&channel)
    }

    /// Reads an answer; one that says that something failed is an error.
    fn read(&self, channel: &Channel) -> Result<Response, LabError> {
        match receive(channel) {
            Ok(Response::Failed(text)) => Err(LabError::new(text)),
            Ok(response) => Ok(response),
            Err(_) => Err(self.unexpected()),
        }
    }

    fn open(&self) -> Result<Channel, LabError> {
        let name = self.name.as_str();
        self.name.connect().map(Channel::new).map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => LabError::new(format!(
                "there is no lab with the name {name}; `callbox natlab list` names those that are up"
            )),
            io::ErrorKind::PermissionDenied => {
                LabError::new(format!("the lab {name} is of another user"))
            }
            _ => LabError::system(format_args!("lab {name}"), error),
        })
    }

    fn unexpected(&self) -> LabError {
        LabError::new(format!("the lab {} has ended", self.name.as_str()))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some((channel, child)) = &mut self.own {
            channel.shut_down();
            // It ends at once, and with it every process of the lab.
            let _ = child.wait();
        }
    }
}

fn receive<T: DeserializeOwned>(channel: &Channel) -> io::Result<T> {
    channel.receive()
}

/// Starts the processes of a lab.
fn launch(plan: &Plan, listener: UnixListener) -> Result<(Channel, Child), LabError> {
    let failed = "cannot start the lab";
    let (channel, other) = Channel::pair().tried(failed)?;
    let mut command = Stage::Keeper.command(&plan.executable);
    command
        .stdin(std::os::fd::OwnedFd::from(other))
        .stdout(std::os::fd::OwnedFd::from(listener))
        .stderr(Stdio::inherit());
    sys::isolate(&mut command);
    let child = command.spawn().map_err(|error| match error.raw_os_error() {
        Some(code) if is_forbidden(code) => LabError::new(format!(
            "this user may not make network namespaces ({error}): run it as root, or allow user \
             namespaces (`sysctl user.max_user_namespaces` above 0, on Debian \
             `kernel.unprivileged_userns_clone=1`, on Ubuntu \
             `kernel.apparmor_restrict_unprivileged_userns=0`; in a container, --privileged)"
        )),
        _ => LabError::system(failed, error),
    })?;
    Ok((channel, child))
}

/// Returns true for the errors by which a system forbids namespaces: `EPERM`, `EACCES`, `ENOSPC` (a
/// limit of 0), `EINVAL` and `ENOSYS` (the kernel has none).
fn is_forbidden(code: i32) -> bool {
    use rustix::io::Errno;
    [Errno::PERM, Errno::ACCESS, Errno::NOSPC, Errno::INVAL, Errno::NOSYS]
        .iter()
        .any(|error| error.raw_os_error() == code)
}
