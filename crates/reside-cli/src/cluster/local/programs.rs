//! Images as programs of this machine, for the runtime. What the local store lacks comes from its registry.

use std::path::PathBuf;

use reside_image::{ImageError, Registry, ResolvedImage, Store, unpack};
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
        if !self.store.has(&image.digest) {
            self.pull(&image).map_err(|error| error.to_string())?;
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

impl Programs {
    /// Pulls an image by its digest, which is all that the runtime is told. The runtime calls on a thread that may wait.
    fn pull(&self, image: &ResolvedImage) -> Result<(), ImageError> {
        let registry = Registry::of(&self.store)?;
        let pulling = async { registry.pull(&image.clone().into(), &self.store, &|_| {}).await };
        tokio::runtime::Handle::current().block_on(pulling)?;
        Ok(())
    }
}
