//! PgBouncer in transaction mode, in front of PostgreSQL and of the replica if there is one.

use std::fmt::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::component::Component;
use super::guard::Guard;
use super::ports::Attempts;
use super::{folder, postgres, programs, sql};
use cutover_error::Result;
use cutover_ground::act::ActContext;
use cutover_ground::pg;

const START_LIMIT: Duration = Duration::from_secs(30);

/// What the replica's database is called behind the pooler, if both stand behind one port.
const REPLICA_DATABASE: &str = "hospitality_platform_replica";

/// Where the servers behind it listen.
pub(super) struct Behind {
    /// Port of PostgreSQL.
    pub primary: u16,
    /// Port of the replica.
    pub replica: Option<u16>,
}

/// Where PgBouncer answers.
pub(super) struct Pooled {
    /// In front of the primary.
    pub primary: String,
    /// In front of the replica.
    pub replica: Option<String>,
}

/// Starts PgBouncer, on `port` if one is asked for; returns the URLs.
pub(super) async fn start(
    guard: &mut Guard,
    behind: &Behind,
    port: Option<u16>,
    context: &ActContext,
) -> Result<Pooled> {
    let program = programs::pgbouncer(guard.user.as_ref())?;
    folder::component(&guard.dir, Component::Pgbouncer.folder(), guard.user.as_ref())?;
    let mut attempts = Attempts::new(port);
    loop {
        let port = attempts.next()?;
        match start_on(guard, &program, behind, port, context).await {
            Ok(()) => return proven(guard, behind, port).await,
            Err(error) if attempts.may_retry(port) => {
                context.note(format!("port {port} was taken meanwhile, trying another: {error}"));
                guard.forget(Component::Pgbouncer)?;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn start_on(
    guard: &mut Guard,
    program: &Path,
    behind: &Behind,
    port: u16,
    context: &ActContext,
) -> Result<()> {
    let users = guard.dir.join(Component::Pgbouncer.folder()).join("users");
    let user = format!("\"{}\" \"{}\"\n", postgres::USER, guard.state.password);
    folder::write_private(&users, &user, guard.user.as_ref())?;
    let config = guard.dir.join("pgbouncer.ini");
    let text = settings(behind, port);
    folder::write_private(&config, &text, guard.user.as_ref())?;
    let mut command = Command::new(program);
    command.arg(&config);
    if let Some(user) = &guard.user {
        user.apply(&mut command);
    }
    guard.spawn(Component::Pgbouncer, &mut command, None)?;
    let listens = |_: &Guard| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok().map(drop);
    guard.wait_for(Component::Pgbouncer, START_LIMIT, context, listens).await
}

/// Connects once through it to each server: only our own takes the password.
async fn proven(guard: &Guard, behind: &Behind, port: u16) -> Result<Pooled> {
    let pooled = Pooled {
        primary: postgres::url(guard, port, postgres::DATABASE),
        replica: behind.replica.map(|_| postgres::url(guard, port, REPLICA_DATABASE)),
    };
    for url in std::iter::once(&pooled.primary).chain(&pooled.replica) {
        pg::Shared::connect(url, START_LIMIT).await?.close().await;
    }
    Ok(pooled)
}

/// The working folder is the one it is started in; the file of users stands there. What a client
/// asks for at its start cannot hold for a server that many share, so it is set here for all.
fn settings(behind: &Behind, port: u16) -> String {
    let mut text = String::from("[databases]\n");
    let servers = [(postgres::DATABASE, Some(behind.primary)), (REPLICA_DATABASE, behind.replica)];
    for (name, server) in servers {
        if let Some(server) = server {
            let database = postgres::DATABASE;
            writeln!(
                text,
                "{name} = host=127.0.0.1 port={server} dbname={database} connect_query='{}'",
                sql::POOLED_SESSION
            )
            .expect("writing to a string succeeds");
        }
    }
    write!(
        text,
        "\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = users\nadmin_users = {}\n\
         pool_mode = transaction\nmax_client_conn = 500\ndefault_pool_size = 12\n\
         ignore_startup_parameters = extra_float_digits,options\n\
         server_login_retry = 1\nquery_wait_timeout = 10\nlog_connections = 0\n\
         log_disconnections = 0\nlog_stats = 0\n",
        postgres::USER
    )
    .expect("writing to a string succeeds");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_servers_stand_behind_one_port_and_a_missing_one_does_not() {
        let both = settings(&Behind { primary: 5432, replica: Some(5433) }, 6432);
        assert!(both.contains("hospitality_platform = host=127.0.0.1 port=5432"), "{both}");
        assert!(both.contains("hospitality_platform_replica = host=127.0.0.1 port=5433"), "{both}");
        assert!(both.contains("pool_mode = transaction"), "{both}");
        let one = settings(&Behind { primary: 5432, replica: None }, 6432);
        assert!(!one.contains("hospitality_platform_replica"), "{one}");
    }
}
