//! The `cairn` binary: arguments to settings, settings to one of four commands.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use server::settings::{Overrides, Settings};
use server::{DemoOptions, ExplainOptions, Failure, QuerySource, demo, explain, health, inspect};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A vector database that speaks Qdrant's REST API.
#[derive(Parser)]
#[command(name = "cairn", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves a data directory until SIGTERM or Ctrl-C.
    Serve(Flags),
    /// Starts a server, loads a sample of real embeddings, queries it, and goes on serving.
    Demo {
        #[command(flatten)]
        flags: Flags,
        /// Ends after the queries.
        #[arg(long)]
        exit: bool,
        /// Deletes a collection `demo` that is there, instead of adding the sample to it.
        #[arg(long)]
        fresh: bool,
    },
    /// Asks a server whether it is ready; the exit code says it too.
    Health {
        #[command(flatten)]
        flags: Flags,
        /// The server; unless given, the one that the settings describe.
        #[arg(long)]
        url: Option<String>,
    },
    /// Prints how a server searches for a query, as a tree.
    Explain {
        #[command(flatten)]
        flags: Flags,
        /// The server; unless given, the one that the settings describe.
        #[arg(long)]
        url: Option<String>,
        /// Its collection.
        #[arg(long)]
        collection: String,
        /// The query as `points/query` takes it.
        #[arg(required_unless_present = "file")]
        query: Option<String>,
        /// A file with the query; `-` is standard input.
        #[arg(long, conflicts_with = "query")]
        file: Option<PathBuf>,
        /// Also runs the query, and says what that did.
        #[arg(long)]
        analyze: bool,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Verifies and prints a file of a data directory.
    Inspect {
        /// A WAL, manifest, catalog or part file.
        file: PathBuf,
        /// Prints JSON, contents included.
        #[arg(long)]
        json: bool,
    },
}

/// Settings: these win over the environment, which wins over the file.
#[derive(Args)]
struct Flags {
    /// A YAML file of settings [default: cairn.yaml, if it is there].
    #[arg(long, env = "CAIRN_CONFIG", value_name = "FILE")]
    config_path: Option<PathBuf>,
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    storage_path: Option<String>,
    /// The address to listen on.
    #[arg(long)]
    host: Option<String>,
    /// The port to listen on; 0 takes a free one.
    #[arg(long)]
    http_port: Option<u16>,
    /// What to log, such as `debug` or `warn,server=debug`.
    #[arg(long)]
    log_level: Option<String>,
    /// Any other setting, such as `service.max_request_size_mb=64`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Flags {
    fn load(self) -> Result<(Settings, Vec<String>), Failure> {
        let mut overrides = Overrides {
            file: self.config_path,
            pairs: Vec::new(),
        };
        for (key, value) in [
            ("storage.storage_path", self.storage_path),
            ("service.host", self.host),
            (
                "service.http_port",
                self.http_port.map(|port| port.to_string()),
            ),
            ("log_level", self.log_level),
        ] {
            overrides
                .pairs
                .extend(value.map(|value| (key.to_owned(), value)));
        }
        for pair in self.set {
            overrides.push(&pair)?;
        }
        Ok(Settings::load(
            &overrides,
            std::env::vars_os().filter_map(text_pair),
        )?)
    }

    /// Loads, starts the log, and says which variables mean nothing here.
    fn load_and_log(self, quiet: bool) -> Result<Settings, Failure> {
        let chosen = self.log_level.is_some() || std::env::var_os("CAIRN__LOG_LEVEL").is_some();
        let (mut settings, skipped) = self.load()?;
        if quiet && !chosen {
            "warn".clone_into(&mut settings.log_level.0);
        }
        start_log(&settings)?;
        tracing::debug!(?settings, "settings");
        for name in skipped {
            tracing::warn!(name, "Cairn does not have this setting of Qdrant");
        }
        Ok(settings)
    }
}

/// A variable that is not text cannot be one of ours.
fn text_pair((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

/// The log goes to standard error: standard output is for results.
fn start_log(settings: &Settings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.log_level.0)
        .map_err(|error| format!("log_level `{}`: {error}", settings.log_level.0))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    if settings.log_json {
        log.json().init();
    } else {
        log.init();
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the results has seen enough, as `head` does.
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell the failure to if this fails too.
            let _ = writeln!(io::stderr(), "cairn: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let mut out = io::stdout();
    match command {
        Command::Serve(flags) => server::run(flags.load_and_log(false)?),
        Command::Demo { flags, exit, fresh } => {
            let options = DemoOptions { exit, fresh };
            demo(flags.load_and_log(true)?, options, &mut out)
        }
        Command::Health { flags, url } => {
            let url = match url {
                Some(url) => url,
                None => flags.load()?.0.local_url(),
            };
            Ok(writeln!(out, "{url}: {}", health(&url)?)?)
        }
        Command::Explain {
            flags,
            url,
            collection,
            query,
            file,
            analyze,
            json,
        } => {
            let url = match url {
                Some(url) => url,
                None => flags.load()?.0.local_url(),
            };
            let query = match file {
                Some(file) => QuerySource::File(file),
                None => QuerySource::Text(query.unwrap_or_default()),
            };
            let options = ExplainOptions {
                url,
                collection,
                query,
                analyze,
                json,
            };
            explain(&options, &mut out)
        }
        Command::Inspect { file, json } => inspect(&file, json, &mut out),
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let kind = match error.downcast_ref::<io::Error>() {
        Some(error) => Some(error.kind()),
        None => error
            .downcast_ref::<serde_json::Error>()
            .and_then(serde_json::Error::io_error_kind),
    };
    kind == Some(io::ErrorKind::BrokenPipe)
}

/// An error and its causes, each once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.ends_with(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = error.source();
    }
    text
}
