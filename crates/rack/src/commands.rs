//! The commands beside the service: imports, and a password that somebody has forgotten. They work on the same database, also while
//! the service runs.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use kit::{Credentials, EXIT_LATER};

use crate::cache::{Cache, Group};
use crate::config::{CACHE_PASSWORD, Config, DATABASE_PASSWORD};
use crate::library::{self, Problem};
use crate::password;
use crate::plan::model::KindFields;
use crate::store::{Error, Store, Who};

/// The arguments of `import-kinds`.
#[derive(Debug, clap::Args)]
pub struct ImportKinds {
    /// The folder: a checkout of the library, or any with YAML files in it
    folder: PathBuf,
}

/// The arguments of `import-sqlite`.
#[derive(Debug, clap::Args)]
pub struct ImportSqlite {
    /// The SQLite file; it is only read
    file: PathBuf,
    /// Say what would be imported, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// The arguments of `set-password`.
#[derive(Debug, clap::Args)]
pub struct SetPassword {
    /// The name of the user
    name: String,
}

/// `import-kinds`: everything in the folder, or, if something in it is wrong, all that is wrong with it.
pub fn import_kinds(
    config: Config,
    credentials: Credentials,
    wish: ImportKinds,
) -> anyhow::Result<ExitCode> {
    let kinds = read_kinds(&wish)?;
    let count = kinds.len();
    with_database(config, credentials, async move |store, cache| {
        let import = async move { store.import_kinds(&who(), kinds).await };
        let imported = cache.change(&Group::ALL, import).await?;
        println!("{count} kinds read: {imported}");
        Ok(())
    })
}

fn read_kinds(wish: &ImportKinds) -> anyhow::Result<Vec<KindFields>> {
    let (mut kinds, mut wrong) = (Vec::new(), 0);
    for (file, read) in library::folder(&wish.folder) {
        let tell = |problem: &Problem| eprintln!("{}: {problem}", file.display());
        match read {
            Ok(described) => {
                for document in described {
                    document.warnings.iter().for_each(tell);
                    kinds.extend(document.kind);
                }
            }
            Err(problems) => {
                problems.iter().for_each(tell);
                wrong += 1;
            }
        }
    }
    match wrong {
        0 => Ok(kinds),
        _ => bail!("nothing was imported, because {wrong} files are wrong"),
    }
}

/// `import-sqlite`: all that is understood, in one transaction, and a report of what is not.
pub fn import_sqlite(
    config: Config,
    credentials: Credentials,
    wish: ImportSqlite,
) -> anyhow::Result<ExitCode> {
    with_database(config, credentials, async move |store, cache| {
        let import = async move { store.import_sqlite(&wish.file, wish.dry_run).await };
        print!("{}", cache.change(&Group::ALL, import).await?);
        Ok(())
    })
}

/// `set-password`: the first line of stdin.
pub fn set_password(
    config: Config,
    credentials: Credentials,
    wish: SetPassword,
) -> anyhow::Result<ExitCode> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("the new password of {}, which is shown:", wish.name);
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).context("stdin")?;
    let new = line.trim_end_matches(['\r', '\n']);
    if let Err(why) = password::check(new) {
        bail!("the password {why}");
    }
    let new = new.to_owned();
    with_database(config, credentials, async move |store, _| {
        let found = store.user_by_name(&wish.name).await?;
        let Some((user, kept)) = found else {
            let all = store.users().await?;
            let names: Vec<&str> = all.iter().map(|user| user.name.as_str()).collect();
            bail!(
                "there is no user {}; there are: {}",
                wish.name,
                names.join(", ")
            );
        };
        let kept = password::keep_instead(&new, &kept);
        let (id, version) = (user.id, user.version);
        store
            .change_user(&who(), id, version, &user.name, user.role, Some(&kept))
            .await?;
        println!("{} has a new password, and has to log in again", user.name);
        Ok(())
    })
}

/// As whom the audit log writes these commands down.
fn who() -> Who {
    Who {
        user: "(command)".into(),
        request: String::new(),
    }
}

/// Does something with the database, whose schema is made if it is not there yet. If the database is away, a later attempt may succeed.
fn with_database(
    config: Config,
    credentials: Credentials,
    work: impl AsyncFnOnce(Store, Cache) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = Store::open(&config.database, credentials.get(DATABASE_PASSWORD)?)?;
        let cache = Cache::open(&config.cache, credentials.get(CACHE_PASSWORD)?)?;
        let done = async {
            store.migrate().await?;
            work(store, cache).await
        };
        match done.await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => match error.downcast_ref::<Error>() {
                Some(Error::Busy(_) | Error::Gone(_)) => {
                    eprintln!("error: {error:#}");
                    Ok(ExitCode::from(EXIT_LATER))
                }
                _ => Err(error),
            },
        }
    })
}
