//! Images as programs of this machine, for the runtime.

use std::path::PathBuf;

use reside_image::{ResolvedImage, Store, unpack};
use reside_local::{Images, Program};

use super::system_images::SystemImages;

/// Images from the local store, unpacked below one folder. What this very program is in, it runs itself.
pub struct Programs {
    /// The store.
    pub store: Store,
    /// Where images are unpacked.
    pub folder: PathBuf,
    /// Images of this program.
    pub system: SystemImages,
}

impl Images for Programs {
    fn unpack(&self, image: &str) -> Result<Program, String> {
        let image: ResolvedImage = image
            .parse()
            .map_err(|error: reside_image::InvalidName| error.to_string())?;
        if let Some(argv) = self.system.argv(&image) {
            return Ok(Program {
                argv,
                env: Default::default(),
            });
        }
        let unpacked =
            unpack::unpack(&self.store, &image.digest, &self.folder).map_err(|error| error.to_string())?;
        let program = unpacked.program.into_os_string().into_string();
        let program = program.map_err(|path| format!("the path {} is not UTF-8", path.display()))?;
        let argv = std::iter::once(program).chain(unpacked.args).collect();
        Ok(Program {
            argv,
            env: unpacked.env.into_iter().collect(),
        })
    }
}
