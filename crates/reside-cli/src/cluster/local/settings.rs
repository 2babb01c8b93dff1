//! What a local cluster must remember before it can remember anything itself: its ports, and how far it was made.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use cojson::ids::AccountId;
use serde::{Deserialize, Serialize};

use crate::error::CommandError;
use crate::files;
use crate::paths::ClusterPaths;

/// The gateway of the first cluster of a machine; the next ones get a free port.
const GATEWAY_PORT: u16 = 4210;

/// Kept in a file, written whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Port of the gateway. Addresses that replicas have published hold it, so it never changes.
    pub gateway_port: u16,
    /// Port of the sync server. So do the workloads of all replicas.
    pub sync_port: u16,
    /// Set when the runtime has taken over what the bootstrap made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// An administrator has claimed the cluster.
    #[serde(default)]
    pub is_claimed: bool,
}

/// What the bootstrap leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Made {
    /// Alpha's account.
    pub alpha: AccountId,
    /// Claims the cluster, once.
    pub claim_token: String,
}

impl Settings {
    /// Reads the settings, if there are any.
    pub fn read(paths: &ClusterPaths) -> Result<Option<Self>, CommandError> {
        let path = paths.settings();
        let Some(text) = files::read(&path)? else {
            return Ok(None);
        };
        serde_json::from_str(&text).map(Some).map_err(|why| {
            CommandError::failed(format!("cannot use `{}`", path.display()))
                .because(why)
                .help("restore the file; it names the ports that the cluster's replicas know")
        })
    }

    /// Reads the settings; a cluster that is new chooses its ports now.
    pub fn open(paths: &ClusterPaths, port: Option<u16>) -> Result<Self, CommandError> {
        let Some(mut settings) = Self::read(paths)? else {
            let settings = Self {
                gateway_port: port.unwrap_or_else(gateway_port),
                sync_port: free_port().map_err(|why| CommandError::failed("no port is free").because(why))?,
                made: None,
                is_claimed: false,
            };
            settings.save(paths)?;
            return Ok(settings);
        };
        match port {
            Some(port) if settings.made.is_none() => {
                settings.gateway_port = port;
                settings.save(paths)?;
            }
            Some(port) if port != settings.gateway_port => {
                return Err(CommandError::usage(format!(
                    "the cluster has the port {}",
                    settings.gateway_port
                ))
                .because("its replicas have published addresses with it, so it can't be changed")
                .help("leave `--port` out"));
            }
            _ => {}
        }
        Ok(settings)
    }

    /// Writes the settings.
    pub fn save(&self, paths: &ClusterPaths) -> Result<(), CommandError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|why| CommandError::failed("cannot write the settings of the cluster").because(why))?;
        files::replace(&paths.settings(), &text)
    }

    /// Where the gateway listens.
    pub fn gateway(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.gateway_port).into()
    }

    /// The gateway as clients reach it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.gateway())
    }

    /// The sync server as replicas reach it.
    pub fn sync_url(&self) -> String {
        format!("ws://{}:{}", Ipv4Addr::LOCALHOST, self.sync_port)
    }
}

fn gateway_port() -> u16 {
    let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, GATEWAY_PORT)).is_ok();
    if is_free {
        GATEWAY_PORT
    } else {
        free_port().unwrap_or(GATEWAY_PORT)
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
