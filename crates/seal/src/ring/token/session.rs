//! A session with a token that is opened when needed, and again when it was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::ObjectHandle;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use incamera_keys::SecretString;

use super::error::TokenError;

/// Which token, and how to log in.
#[derive(Clone)]
pub struct TokenPlace {
    /// The library that came with the token.
    pub module: PathBuf,
    /// The token.
    pub name: TokenName,
    /// The user PIN.
    pub pin: SecretString,
}

/// How a token is told from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenName {
    /// By the label that it was initialised with.
    Label(String),
    /// By the serial number that its maker gave it.
    Serial(String),
}

impl TokenName {
    fn is(&self, token: &TokenInfo) -> bool {
        match self {
            Self::Label(label) => token.label() == label,
            Self::Serial(serial) => token.serial_number() == serial,
        }
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(name) | Self::Serial(name) => f.write_str(name),
        }
    }
}

/// Shows no PIN.
impl fmt::Debug for TokenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenPlace({} in {})", self.name, self.module.display())
    }
}

/// A session, logged in, and the handles of keys found in it.
pub(super) struct Live {
    pub(super) session: Session,
    pub(super) handles: BTreeMap<Vec<u8>, ObjectHandle>,
}

/// A token, with a session while there is one.
pub(super) struct Token {
    place: TokenPlace,
    live: Mutex<Option<Live>>,
}

impl Token {
    /// Opens a session and logs in.
    pub(super) fn connect(place: TokenPlace) -> Result<Self, TokenError> {
        let live = open(&place)?;
        Ok(Self {
            place,
            live: Mutex::new(Some(live)),
        })
    }

    /// Does `work` in the session; where that was lost, once more in a new one.
    pub(super) fn with<T>(
        &self,
        work: impl Fn(&mut Live) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let mut live = held(&self.live);
        if let Some(live) = live.as_mut() {
            match work(live) {
                Err(error) if error.session_lost() => {}
                done => return done,
            }
        }
        // The old session goes before the new one comes: a module that was started anew may
        // give the same handle again.
        *live = None;
        work(live.insert(open(&self.place)?))
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(place: &TokenPlace) -> Result<Live, TokenError> {
    let module = module(&place.module)?;
    let (slot, info) = find(&module, &place.name)?;
    able(&module, slot, place)?;
    let session = module.open_rw_session(slot)?;
    login(&session, &info, place)?;
    Ok(Live {
        session,
        handles: BTreeMap::new(),
    })
}

/// The module, loaded once a process and never finalised: its state is the process's, and
/// another ring may use it.
fn module(path: &Path) -> Result<Pkcs11, TokenError> {
    static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());
    let not_loaded = |source| TokenError::Module {
        module: path.to_owned(),
        source,
    };
    let mut loaded = held(&LOADED);
    let module = match loaded.get(path) {
        Some(module) => module.clone(),
        None => Pkcs11::new(path).map_err(not_loaded)?,
    };
    let flags = CInitializeFlags::OS_LOCKING_OK;
    match module.initialize(CInitializeArgs::new(flags)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(not_loaded(error)),
    }
    loaded.insert(path.to_owned(), module.clone());
    Ok(module)
}

fn find(module: &Pkcs11, name: &TokenName) -> Result<(Slot, TokenInfo), TokenError> {
    let mut found = None;
    for slot in module.get_slots_with_token()? {
        // A token that is pulled out meanwhile is not the one.
        let Ok(info) = module.get_token_info(slot) else {
            continue;
        };
        if name.is(&info) && found.replace((slot, info)).is_some() {
            let token = name.to_string();
            return Err(TokenError::SeveralTokens { token });
        }
    }
    let token = name.to_string();
    found.ok_or(TokenError::NoToken { token })
}

fn able(module: &Pkcs11, slot: Slot, place: &TokenPlace) -> Result<(), TokenError> {
    let can = module.get_mechanism_list(slot)?;
    let needs = [MechanismType::AES_KEY_GEN, MechanismType::AES_GCM];
    if needs.iter().all(|mechanism| can.contains(mechanism)) {
        return Ok(());
    }
    let token = place.name.to_string();
    Err(TokenError::NotAble { token })
}

/// Logs in, unless that could lock the token. Login is the process's: another session of it
/// may have done it already.
fn login(session: &Session, info: &TokenInfo, place: &TokenPlace) -> Result<(), TokenError> {
    static REFUSED: Mutex<BTreeSet<(PathBuf, String)>> = Mutex::new(BTreeSet::new());
    let token = place.name.to_string();
    if info.user_pin_locked() || !info.user_pin_initialized() {
        return Err(TokenError::Locked { token });
    }
    let this = (place.module.clone(), info.serial_number().to_owned());
    let mut refused = held(&REFUSED);
    if refused.contains(&this) {
        return Err(TokenError::WrongPin { token });
    }
    if info.user_pin_final_try() {
        return Err(TokenError::LastTry { token });
    }
    match session.login(UserType::User, Some(&place.pin)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
            _,
        )) => {
            refused.insert(this);
            Err(TokenError::WrongPin { token })
        }
        Err(Error::Pkcs11(
            RvError::PinLocked | RvError::PinExpired | RvError::UserPinNotInitialized,
            _,
        )) => Err(TokenError::Locked { token }),
        Err(other) => Err(other.into()),
    }
}
