//! The secrets of accounts lie in the configuration, encrypted with age. The key to them (the identity) lies in the
//! operating system's keyring or, where there is none, in a file that only its owner can read.

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use cojson::Credentials;
use cojson::secrets::AgentSecret;
use zeroize::Zeroizing;

use crate::config::{Account, Recipient};
use crate::error::CommandError;
use crate::files;
use crate::keyring_store::Keyring;
use crate::paths::Paths;
use crate::ui::Ui;

/// An identity and where it is kept.
struct Kept {
    identity: Identity,
    label: String,
}

/// Encrypts a secret for this machine, whose identity is made if there is none yet. To be called under the lock of the
/// configuration, so that two processes don't make one each.
pub fn encrypt(ui: &Ui, paths: &Paths, secret: &AgentSecret) -> Result<(Recipient, String), CommandError> {
    let kept = ensure_identity(ui, paths)?;
    let public = kept.identity.to_public();
    let text = seal(&public, secret.expose().as_bytes())
        .map_err(|why| CommandError::failed("cannot encrypt the secret of the account").because(why))?;
    Ok((
        Recipient {
            recipient: public.to_string(),
            label: kept.label,
        },
        text,
    ))
}

/// Decrypts the secret of an account.
pub fn decrypt(ui: &Ui, paths: &Paths, account: &Account) -> Result<Credentials, CommandError> {
    let what = || {
        CommandError::failed(format!(
            "cannot decrypt the secret of the account `{}`",
            account.name
        ))
    };
    let Some(identity) = identity_of(ui, paths, account)? else {
        let labels: Vec<_> = account
            .recipients
            .iter()
            .map(|recipient| recipient.label.as_str())
            .collect();
        return Err(what()
            .because(format!(
                "the key to it is not here; it was kept in: {}",
                labels.join(", ")
            ))
            .help(format!(
                "put the key back into `{}`, or unlock the keyring",
                paths.identity().display()
            )));
    };
    let armored = ArmoredReader::new(account.encrypted_agent_secret.as_bytes());
    let text = age::Decryptor::new(armored)
        .and_then(|decryptor| decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)))
        .map_err(|why| what().because(why))
        .and_then(|reader| read_secret(reader).map_err(|why| what().because(why)))?;
    let secret: AgentSecret = text.trim().parse().map_err(|why| what().because(why))?;
    let credentials = Credentials::of(secret);
    if credentials.account_id != account.account_id {
        return Err(what().because("the secret belongs to another account"));
    }
    Ok(credentials)
}

fn seal(recipient: &age::x25519::Recipient, secret: &[u8]) -> Result<String, age::EncryptError> {
    use std::io::Write;
    let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient as &dyn age::Recipient))?;
    let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
    let mut writer = encryptor.wrap_output(armor)?;
    writer.write_all(secret)?;
    let bytes = writer.finish().and_then(ArmoredWriter::finish)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_secret(reader: impl std::io::Read) -> std::io::Result<Zeroizing<String>> {
    use std::io::Read;
    let mut text = Zeroizing::new(String::with_capacity(256));
    reader.take(4096).read_to_string(&mut text)?;
    Ok(text)
}

fn identity_of(ui: &Ui, paths: &Paths, account: &Account) -> Result<Option<Identity>, CommandError> {
    let fits = |kept: &Kept| {
        let public = kept.identity.to_public().to_string();
        account
            .recipients
            .iter()
            .any(|recipient| recipient.recipient == public)
    };
    if let Some(kept) = from_file(ui, paths)?.filter(fits) {
        return Ok(Some(kept.identity));
    }
    Ok(from_keyring(ui, paths).1.filter(fits).map(|kept| kept.identity))
}

fn ensure_identity(ui: &Ui, paths: &Paths) -> Result<Kept, CommandError> {
    if let Some(kept) = from_file(ui, paths)? {
        return Ok(kept);
    }
    let (keyring, kept) = from_keyring(ui, paths);
    if let Some(kept) = kept {
        return Ok(kept);
    }
    let identity = Identity::generate();
    let text = Zeroizing::new(identity.to_string().expose_secret().to_owned());
    if let Some(keyring) = keyring {
        match keyring.write(text.clone()) {
            Ok(()) => {
                return Ok(Kept {
                    identity,
                    label: keyring_label(),
                });
            }
            Err(why) => ui.warn(format!(
                "the keyring can't be used ({why}); the key goes into a file"
            )),
        }
    }
    write_file(paths, &identity, &text)?;
    Ok(Kept {
        identity,
        label: file_label(paths),
    })
}

fn from_file(ui: &Ui, paths: &Paths) -> Result<Option<Kept>, CommandError> {
    let path = paths.identity();
    let Some(text) = files::read(&path)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    if files::make_private(&path).unwrap_or(false) {
        ui.warn(format!(
            "others could read `{}`; its permissions are now 0600",
            path.display()
        ));
    }
    let key = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    let identity = key.and_then(|key| key.parse().ok()).ok_or_else(|| {
        CommandError::failed(format!("cannot use the key in `{}`", path.display()))
            .because("it holds no line `AGE-SECRET-KEY-1…`")
            .help("put the key back; without it the secrets of your accounts can't be decrypted")
    })?;
    Ok(Some(Kept {
        identity,
        label: file_label(paths),
    }))
}

fn write_file(paths: &Paths, identity: &Identity, key: &str) -> Result<(), CommandError> {
    let public = identity.to_public();
    let text = Zeroizing::new(format!(
        "# The key to the account secrets in config.yaml. Keep it to yourself.\n# public key: {public}\n{key}\n"
    ));
    files::replace(&paths.identity(), &text)
}

/// The keyring, if there is one, and the identity in it, if there is one.
fn from_keyring(ui: &Ui, paths: &Paths) -> (Option<Keyring>, Option<Kept>) {
    if paths.is_moved() {
        return (None, None);
    }
    let Some(keyring) = Keyring::open() else {
        return (None, None);
    };
    match keyring.read() {
        Ok(Some(text)) => match text.trim().parse() {
            Ok(identity) => (
                Some(keyring),
                Some(Kept {
                    identity,
                    label: keyring_label(),
                }),
            ),
            Err(_) => {
                ui.warn("the entry `reside` of the keyring holds no key and is left alone");
                (None, None)
            }
        },
        Ok(None) => (Some(keyring), None),
        Err(why) => {
            ui.warn(format!("the keyring can't be read: {why}"));
            (None, None)
        }
    }
}

fn keyring_label() -> String {
    format!(
        "keyring of {}",
        rustix::system::uname().nodename().to_string_lossy()
    )
}

fn file_label(paths: &Paths) -> String {
    paths.identity().display().to_string()
}
