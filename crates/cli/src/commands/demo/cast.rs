//! Who plays: folders, addresses, files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use incamera_testkit::stage::free_address;

use crate::failure::{Context, Done, Failure};

/// One service of the play.
pub struct Role {
    /// Its name.
    pub name: &'static str,
    /// Where it listens.
    pub listens: SocketAddr,
    /// Where the recording proxy in front of it listens: what the agreement names.
    pub tapped: SocketAddr,
}

impl Role {
    fn new(name: &'static str) -> Result<Self, Failure> {
        let free = || free_address().or_fail("no free port was found on the loopback");
        Ok(Self {
            name,
            listens: free()?,
            tapped: free()?,
        })
    }

    /// The URL that the agreement names.
    pub fn url(&self) -> String {
        format!("https://{}", self.tapped)
    }
}

/// Everybody and everything.
pub struct Cast {
    /// The folder that holds everything.
    pub root: PathBuf,
    /// The shop's service.
    pub shop: Role,
    /// The mailer's service.
    pub mailer: Role,
    /// The room.
    pub room: Role,
}

impl Cast {
    /// Chooses addresses.
    pub fn new(root: PathBuf) -> Result<Self, Failure> {
        Ok(Self {
            root,
            shop: Role::new("shop")?,
            mailer: Role::new("mailer")?,
            room: Role::new("room")?,
        })
    }

    /// The parties.
    pub fn parties(&self) -> [&Role; 2] {
        [&self.shop, &self.mailer]
    }

    /// All services.
    pub fn roles(&self) -> [&Role; 3] {
        [&self.shop, &self.mailer, &self.room]
    }

    /// A path in the folder, as text.
    pub fn path(&self, relative: &str) -> String {
        self.root.join(relative).display().to_string()
    }

    /// The agreement's file at one party.
    pub fn agreement(&self, party: &str) -> String {
        self.path(&format!("{party}/agreements/spring-campaign.toml"))
    }

    /// Copies an agreement and its signatures to the other party and the room.
    pub fn exchange(&self, name: &str) -> Done {
        for from in self.parties() {
            for to in ["shop", "mailer", "room"] {
                let file = format!("{name}.toml.{}.sig", from.name);
                let source = self.root.join(from.name).join("agreements").join(&file);
                self.copy(&source, to, &file)?;
            }
        }
        let source = self
            .root
            .join("shop/agreements")
            .join(format!("{name}.toml"));
        for to in ["mailer", "room"] {
            self.copy(&source, to, &format!("{name}.toml"))?;
        }
        Ok(())
    }

    fn copy(&self, source: &Path, to: &str, file: &str) -> Done {
        let folder = match to {
            "room" => self.root.join("room"),
            party => self.root.join(party).join("agreements"),
        };
        let what = format!("`{file}` was not copied");
        std::fs::create_dir_all(&folder).or_fail(&what)?;
        let target = folder.join(file);
        if target != source {
            std::fs::copy(source, target).or_fail(&what)?;
        }
        Ok(())
    }

    /// Writes the room's configuration.
    pub fn write_room(&self, agreement: &str) -> Done {
        let text = format!(
            "format    = \"incamera-room/1\"\nlisten    = \"{}\"\nagreement = \"{agreement}.toml\"\nstorage   = \"storage\"\ninsecure_simulated_tee = true\ninsecure_tls_key_log   = \"../traffic/keys.log\"\n",
            self.room.listens
        );
        std::fs::create_dir_all(self.root.join("room"))
            .or_fail("the room's folder was not made")?;
        std::fs::write(self.root.join("room/room.toml"), text)
            .or_fail("the room's configuration was not written")
    }
}

impl Cast {
    fn older_room(&self) -> PathBuf {
        self.root.join("room-older")
    }

    /// Keeps a copy of the room's folder as it is now.
    pub fn copy_room(&self) -> Done {
        copy_folder(&self.root.join("room"), &self.older_room())
    }

    /// Puts the copy in the place of the room's folder.
    pub fn roll_back_room(&self) -> Done {
        let room = self.root.join("room");
        std::fs::remove_dir_all(&room).or_fail("the room's folder was not removed")?;
        std::fs::rename(self.older_room(), &room).or_fail("the older copy was not put in place")
    }
}

/// Copies a folder with everything in it.
fn copy_folder(from: &Path, to: &Path) -> Done {
    let what = "a folder was not copied";
    std::fs::create_dir_all(to).or_fail(what)?;
    for entry in std::fs::read_dir(from).or_fail(what)? {
        let entry = entry.or_fail(what)?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target).or_fail(what)?;
        }
    }
    Ok(())
}
