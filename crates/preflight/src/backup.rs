//! How old the last backup is: by a file's age, a command's word, or the server's archiver, whichever
//! the configuration names.

use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use super::{item, sql, unknown};
use cutover_evidence::checklist::Item;
use cutover_ground::config::Config;
use cutover_ground::pg::Shared;
use cutover_ground::routing::run_program;

const ID: &str = "backup";
const ADVICE: &str = "take a backup now, then run this again";
/// How far two clocks may be apart.
const CLOCKS: Duration = Duration::from_secs(300);

pub(super) async fn age(config: &Config, connection: &mut Shared) -> Item {
    let settings = &config.preflight;
    let title = format!("a full backup not older than {} h", settings.backup_max_age_h);
    let limit = Duration::from_secs_f64(settings.backup_max_age_h * 3600.0);
    let taken = if let Some(path) = &settings.backup_file {
        newest(path).map_err(|error| format!("{}: {error}", path.display()))
    } else if !settings.backup_command.is_empty() {
        told(&settings.backup_command).await
    } else if settings.backup_archiver {
        sql::archived_at(connection).await
    } else {
        let how = "name backup_file, backup_command or backup_archiver in [preflight]";
        return unknown(ID, &title, "nobody says where backups are", how);
    };
    match taken {
        Ok(Some(at)) => judged(&title, limit, at, SystemTime::now()),
        Ok(None) => item(ID, &title, false, "there is none", ADVICE),
        Err(why) => unknown(ID, &title, why, ADVICE),
    }
}

fn judged(title: &str, limit: Duration, at: SystemTime, now: SystemTime) -> Item {
    if at > now + CLOCKS {
        let why = format!("it is of {}, which is yet to come", shown(at));
        return unknown(ID, title, why, "seconds since 1970, or RFC 3339, are meant");
    }
    let age = now.duration_since(at).unwrap_or_default();
    let seen = format!("{:.1} h old, of {}", age.as_secs_f64() / 3600.0, shown(at));
    item(ID, title, age <= limit, seen, ADVICE)
}

fn shown(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).format("%Y-%m-%d %H:%M UTC").to_string()
}

/// When a file, or the newest in a folder, was written; an empty file is no backup.
fn newest(path: &Path) -> std::io::Result<Option<SystemTime>> {
    let meta = std::fs::metadata(path)?;
    if meta.is_file() {
        return Ok((meta.len() > 0).then_some(meta.modified()?));
    }
    let mut newest = None;
    for entry in std::fs::read_dir(path)? {
        let meta = entry?.metadata()?;
        if meta.is_file() && meta.len() > 0 {
            newest = newest.max(Some(meta.modified()?));
        }
    }
    Ok(newest)
}

/// When it was taken by the word of a command: a line with a time, RFC 3339 or seconds since 1970,
/// or nothing if there is none.
async fn told(argv: &[String]) -> Result<Option<SystemTime>, String> {
    let said = run_program("[preflight] backup", argv).await.map_err(|error| error.to_string())?;
    let said = said.trim();
    if said.is_empty() {
        return Ok(None);
    }
    let at = match said.parse::<i64>() {
        Ok(epoch_s) => DateTime::<Utc>::from_timestamp(epoch_s, 0),
        Err(_) => DateTime::parse_from_rfc3339(said).ok().map(Into::into),
    };
    let shown: String = said.chars().take(40).collect();
    at.map(|at| Some(at.into())).ok_or(format!("{} said `{shown}`, which is no time", argv[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_and_an_empty_folder_are_no_backup() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("backup.dump");
        assert_eq!(newest(folder.path()).expect("readable"), None);
        std::fs::write(&file, "").expect("written");
        assert_eq!(newest(&file).expect("readable"), None);
        assert_eq!(newest(folder.path()).expect("readable"), None);
        std::fs::write(&file, "rows").expect("written");
        assert!(newest(folder.path()).expect("readable").is_some());
    }

    #[test]
    fn an_old_backup_fails_and_one_of_tomorrow_is_not_known() {
        use cutover_evidence::verdict::State;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let state = |at| judged("a backup", hours(24), at, now).state;
        assert_eq!(state(now - hours(23)), State::Pass);
        assert_eq!(state(now + Duration::from_secs(60)), State::Pass);
        assert_eq!(state(now - hours(25)), State::Fail);
        // Milliseconds taken for seconds.
        assert_eq!(state(now + hours(400_000_000)), State::Unknown);
    }

    #[tokio::test]
    async fn a_command_says_when_and_what_it_cannot_say_is_no_backup() {
        let say =
            async |script: &str| told(&["sh".to_owned(), "-c".to_owned(), script.to_owned()]).await;
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(say("echo 1700000000").await, Ok(Some(at)));
        assert_eq!(say("echo 2023-11-14T22:13:20Z").await, Ok(Some(at)));
        assert_eq!(say("true").await, Ok(None));
        assert_eq!(say("echo soon").await, Err("sh said `soon`, which is no time".into()));
        assert!(say("echo 1700000000; exit 3").await.is_err());
        assert!(told(&["/no/such/program".into()]).await.is_err());
    }
}
