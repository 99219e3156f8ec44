//! The command-line arguments that every service understands.

use std::path::{Path, PathBuf};

/// Arguments common to all services; a service flattens them into its own.
#[derive(Debug, Clone, Default, clap::Parser)]
pub struct Args {
    /// Read the configuration from FILE [default: /etc/SERVICE/config.json]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check the configuration in FILE, print any errors, and exit (status 64 if it is invalid)
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub check_config: Option<PathBuf>,

    /// Simulate the hardware; needs no configuration
    #[arg(long)]
    pub simulate: bool,
}

impl Args {
    /// The path of the configuration of `service`; none if the service is simulated without one.
    pub fn config_path(&self, service: &str) -> Option<PathBuf> {
        match &self.config {
            Some(path) => Some(path.clone()),
            None if self.simulate => None,
            None => Some(Path::new("/etc").join(service).join("config.json")),
        }
    }
}
