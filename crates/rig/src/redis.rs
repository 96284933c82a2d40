//! Redis: a cache that holds nothing worth keeping, on a free port of the loopback interface.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::component::Component;
use super::guard::Guard;
use super::ports::Attempts;
use super::{folder, programs};
use cutover_error::Result;
use cutover_ground::act::ActContext;

const START_LIMIT: Duration = Duration::from_secs(30);

/// Starts Redis, on `port` if one is asked for; returns its URL.
pub(super) async fn start(
    guard: &mut Guard,
    port: Option<u16>,
    context: &ActContext,
) -> Result<String> {
    let program = programs::redis_server(guard.user.as_ref())?;
    folder::component(&guard.dir, Component::Redis.folder(), guard.user.as_ref())?;
    let mut attempts = Attempts::new(port);
    loop {
        let port = attempts.next()?;
        match start_on(guard, &program, port, context).await {
            Ok(()) => {
                return Ok(format!("redis://:{}@127.0.0.1:{port}", guard.state.redis_password));
            }
            Err(error) if attempts.may_retry(port) => {
                context.note(format!("port {port} was taken meanwhile, trying another: {error}"));
                guard.forget(Component::Redis)?;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn start_on(
    guard: &mut Guard,
    program: &Path,
    port: u16,
    context: &ActContext,
) -> Result<()> {
    let config = guard.dir.join("redis.conf");
    // In a file rather than on the command line, where everybody could read the password.
    folder::write_private(
        &config,
        &settings(&guard.state.redis_password, port),
        guard.user.as_ref(),
    )?;
    let mut command = Command::new(program);
    command.arg(&config);
    if let Some(user) = &guard.user {
        user.apply(&mut command);
    }
    guard.spawn(Component::Redis, &mut command, None)?;
    let password = guard.state.redis_password.clone();
    guard
        .wait_for(Component::Redis, START_LIMIT, context, |_| {
            answers(port, &password).then_some(())
        })
        .await
}

/// No persistence, least recently used keys give way, and nobody without the password. The working
/// folder is the one it is started in.
fn settings(password: &str, port: u16) -> String {
    format!(
        "bind 127.0.0.1\nport {port}\nprotected-mode yes\nrequirepass {password}\n\
         daemonize no\nsave \"\"\nappendonly no\nmaxmemory 256mb\nmaxmemory-policy allkeys-lru\n\
         logfile \"\"\nloglevel notice\n"
    )
}

/// Whether our own Redis answers: a stranger's would not take the password.
fn answers(port: u16, password: &str) -> bool {
    const LIMIT: Duration = Duration::from_millis(500);
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(format!("AUTH {password}\r\n").as_bytes())?;
        let mut reply = [0; 3];
        stream.read_exact(&mut reply)?;
        Ok(&reply == b"+OK")
    };
    ask().unwrap_or(false)
}
