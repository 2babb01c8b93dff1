//! `reside jazz create file`

use clap::Args;
use jazz::FileInfo;

use super::{OwnerArgs, create};
use crate::cli::App;
use crate::commands::jazz::session::SessionArgs;
use crate::error::CommandError;

/// Create a file without bytes
///
/// Others can refer to it before `reside jazz upload FILE --into ID` has brought its bytes. `reside jazz upload FILE`
/// alone makes a file with its bytes.
#[derive(Args, Debug)]
pub struct FileArgs {
    /// Name of the file
    #[arg(long)]
    name: Option<String>,

    #[command(flatten)]
    media_type: MediaTypeArgs,

    #[command(flatten)]
    owner: OwnerArgs,
}

/// What kind of bytes a file has.
#[derive(Args, Debug)]
pub struct MediaTypeArgs {
    /// Media type of the file, as `image/png`
    #[arg(
        long = "type",
        value_name = "MEDIA-TYPE",
        default_value = "application/octet-stream"
    )]
    media_type: String,
}

impl MediaTypeArgs {
    /// The beginning of a file.
    pub fn info(self, name: Option<String>) -> FileInfo {
        let mut info = FileInfo::new(self.media_type);
        info.file_name = name;
        info
    }
}

/// Runs the command.
pub fn run(app: &App, session: &SessionArgs, args: FileArgs) -> Result<(), CommandError> {
    let info = args.media_type.info(args.name);
    create(app, session, &args.owner, |session, group| {
        let file = session.node().start_file(group, info)?;
        Ok(file.id().clone())
    })
}
