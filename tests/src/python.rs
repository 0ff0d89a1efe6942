//! The Python suites: a virtual environment made on demand, scripts run, their counts passed on.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::process::build_dirs;
use crate::report;

/// The folder of the scripts.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// The interpreter of the environment with `requirements.txt` installed.
///
/// # Panics
/// When it cannot be made; says what to install.
pub fn interpreter() -> &'static Path {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(|| {
        let requirements = scripts().join("requirements.txt");
        let text = std::fs::read_to_string(&requirements).expect("requirements.txt is there");
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let (target, _) = build_dirs();
        let environment = target.join(format!("python-{:016x}", hasher.finish()));
        let python = environment.join("bin/python");
        let ready = environment.join("ready");
        if !ready.exists() {
            make(&environment, &python, &requirements);
            std::fs::write(ready, "").expect("the environment can be written");
        }
        python
    })
}

fn make(environment: &Path, python: &Path, requirements: &Path) {
    report::say("making the Python environment of the suites");
    let made = Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(environment)
        .output();
    match made {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "python3 -m venv failed; on Debian: apt-get install python3-venv\n{}",
            text(&output)
        ),
        Err(error) => panic!(
            "python3 does not run ({error}); on Debian: apt-get install python3 python3-venv"
        ),
    }
    let installed = Command::new(python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(requirements)
        .output()
        .expect("the environment has an interpreter");
    assert!(
        installed.status.success(),
        "pip install -r:\n{}",
        text(&installed)
    );
}

fn text(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{out}{err}")
}

/// Runs a script to its end and passes on its `suite ...` lines.
///
/// # Panics
/// When it fails; shows everything it said.
pub fn run(script: &str, arguments: &[&str]) {
    let output = Command::new(interpreter())
        .arg(scripts().join(script))
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("the interpreter runs");
    let said = text(&output);
    for line in said.lines().filter(|line| line.starts_with("suite ")) {
        report::say(line);
    }
    assert!(
        output.status.success(),
        "{script} {arguments:?}: {}\n{said}",
        output.status
    );
}
