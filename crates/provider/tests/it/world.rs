//! Owners and providers of one agreement, and the providers' services.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use incamera_agreement::{
    ActiveAgreement, AdMeasurement, PartyInputs, files, sign, template_ad_measurement,
};
use incamera_attest::TeeKind;
use incamera_keys::{ReceiveKey, Secret32, SigningKey};
use incamera_net::agreements::now;
use incamera_net::client;
use incamera_net::services::ceremony_frame::Step;
use incamera_net::services::ceremony_reply::Reply;
use incamera_net::services::provider_client::ProviderClient;
use incamera_net::services::{CeremonyFrame, KeysRequest};
use incamera_net::status::Problem;
use incamera_net::tls::TlsOptions;
use incamera_provider::{Own, ProviderConfig, ShareKey, agreed, serve};
use incamera_types::{Digest as _, Measurement, PartyName};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

pub type Client = ProviderClient<Channel>;

/// What an agreement says.
pub struct Terms {
    pub providers: &'static [&'static str],
    pub threshold: usize,
    pub max_ids: u64,
    pub max_runs: u32,
    pub rate: u32,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            providers: &["alpha", "beta", "gamma"],
            threshold: 2,
            max_ids: 1_000,
            max_runs: 4,
            rate: 1_000_000,
        }
    }
}

/// A party and where it lies.
pub struct Party {
    pub signs: SigningKey,
    pub service: SigningKey,
    pub receive: ReceiveKey,
    pub folder: PathBuf,
    pub address: SocketAddr,
}

/// A service that runs.
struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

pub struct World {
    pub terms: Terms,
    pub parties: BTreeMap<String, Party>,
    pub text: String,
    running: BTreeMap<String, Running>,
    _folder: tempfile::TempDir,
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn party(root: &Path, name: &str) -> Party {
    let folder = root.join(name);
    std::fs::create_dir_all(folder.join("agreements")).unwrap();
    let mut rng = rand::rng();
    Party {
        signs: SigningKey::generate(&mut rng),
        service: SigningKey::generate(&mut rng),
        receive: ReceiveKey::generate(&mut rng).unwrap(),
        folder,
        address: free_port(),
    }
}

fn inputs(name: &str, party: &Party) -> PartyInputs {
    PartyInputs {
        name: Some(name.parse().unwrap()),
        signs: Some(party.signs.public()),
        service: Some(party.service.public()),
        receives: None,
        url: Some(format!("https://{}", party.address).parse().unwrap()),
        people: Some(100),
    }
}

/// Two owners, the providers, and an agency that owns nothing.
fn text(parties: &BTreeMap<String, Party>, terms: &Terms) -> String {
    let draft = template_ad_measurement(&AdMeasurement {
        name: Some("campaign".into()),
        expires: Some("2999-12-31".parse().unwrap()),
        shop: inputs("shop", &parties["shop"]),
        mailer: inputs("mailer", &parties["mailer"]),
        analyst_key: Some(SigningKey::generate(&mut rand::rng()).public()),
        room_url: Some("https://room.example:7443".parse().unwrap()),
        tee: Some(TeeKind::Simulated),
        measurement: Some(Measurement::from_bytes([7; 32])),
        ..AdMeasurement::default()
    });
    let method = format!(
        "method = \"provider\"\nproviders = {:?}\nthreshold = {}\nkey_days = 90\nrate = {}",
        terms.providers, terms.threshold, terms.rate
    );
    let kinds = "ids = [\"email\", \"phone\"]\nlinks = [{ from = \"phone\", to = \"email\" }]";
    let mut text = draft
        .replace("method = \"commutative\"", &method)
        .replace("ids = [\"email\"]", kinds)
        .replace("max_ids = 500_000", &format!("max_ids = {}", terms.max_ids))
        .replace("max_runs = 12", &format!("max_runs = {}", terms.max_runs));
    let others = terms.providers.iter().copied().chain(["agency"]);
    for name in others {
        let party = &parties[name];
        text += &format!(
            "\n[parties.{name}]\nsigns = \"{}\"\nservice = \"{}\"\nreceives = \"{}\"\nurl = \"https://{}\"\n",
            party.signs.public(),
            party.service.public(),
            party.receive.public(),
            party.address
        );
    }
    text
}

impl World {
    /// Signed by all, and every provider serves.
    pub async fn new(terms: Terms) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = ["shop", "mailer", "agency"].iter().chain(terms.providers);
        let parties: BTreeMap<_, _> = names
            .map(|name| ((*name).to_owned(), party(folder.path(), name)))
            .collect();
        let text = text(&parties, &terms);
        let mut world = Self {
            terms,
            parties,
            text,
            running: BTreeMap::new(),
            _folder: folder,
        };
        world.sign("a.toml", &world.text);
        for name in world.terms.providers {
            world.start(name).await;
        }
        world
    }

    /// An agreement that all have signed and put into their folders.
    pub fn sign(&self, file: &str, text: &str) {
        for holder in self.parties.values() {
            let path = holder.folder.join("agreements").join(file);
            std::fs::write(&path, text).unwrap();
            for (name, keys) in &self.parties {
                let signature = sign(text.as_bytes(), &keys.signs).unwrap().to_armor();
                let file = files::signature_path(&path, &name.parse().unwrap());
                std::fs::write(file, signature).unwrap();
            }
        }
    }

    /// Version 2 of the agreement, which says `more` of how is matched.
    pub fn next_version(&self, more: &str) {
        let digest = self.agreement().agreement().digest;
        let head = format!("version = 2\nid = \"{digest}\"\nfollows = \"{digest}\"");
        let text = self.text.replacen("version = 1", &head, 1);
        let matching = format!("[matching]\n{more}");
        self.sign("b.toml", &text.replacen("[matching]", &matching, 1));
    }

    /// As [`World::new`], with a key.
    pub async fn with_key(terms: Terms) -> Self {
        let world = Self::new(terms).await;
        world.make().await.unwrap();
        world
    }

    pub async fn start(&mut self, name: &str) {
        let party = &self.parties[name];
        let config = party.folder.join("provider.toml");
        let text = format!(
            "format = \"incamera-provider/1\"\nlisten = \"{}\"\n",
            party.address
        );
        std::fs::write(&config, text).unwrap();
        let own = Own {
            name: name.parse().unwrap(),
            signs: party.signs.public(),
            service: party.service.duplicate(),
            receive: Some(ReceiveKey::from_text(&party.receive.to_text()).unwrap()),
            agreements: party.folder.join("agreements"),
            shares: ShareKey::new(share_key(name)),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let config = ProviderConfig::load(&config).unwrap();
            let ready = || ready.send(()).unwrap();
            let stopped = async {
                let _ = stopped.await;
            };
            let options = TlsOptions::default();
            let served = serve(config, own, &options, ready, stopped);
            served.await.unwrap();
        });
        is_ready.await.unwrap();
        let running = Running { stop, ended };
        self.running.insert(name.to_owned(), running);
    }

    /// Ends a service, as a crash does: what it had in memory is gone.
    pub async fn stop(&mut self, name: &str) {
        let running = self.running.remove(name).unwrap();
        running.stop.send(()).unwrap();
        running.ended.await.unwrap();
    }

    pub async fn restart(&mut self, name: &str) {
        self.stop(name).await;
        self.start(name).await;
    }

    pub fn agreement(&self) -> ActiveAgreement {
        let path = self.parties["shop"].folder.join("agreements/a.toml");
        files::read_signed(&path).unwrap().at(now()).unwrap()
    }

    pub fn digest(&self) -> Vec<u8> {
        self.agreement().agreement().digest.as_bytes().to_vec()
    }

    pub fn agreed(&self) -> incamera_matching::statement::Agreed {
        agreed(self.agreement().agreement()).unwrap()
    }

    pub async fn make(
        &self,
    ) -> Result<incamera_matching::statement::KeyStatement, incamera_provider::CeremonyError> {
        let me: PartyName = self.terms.providers[0].parse().unwrap();
        let service = &self.parties[me.as_str()].service;
        let options = TlsOptions::default();
        incamera_provider::make_keys(&self.agreement(), &me, service, &options).await
    }

    pub async fn refresh(
        &self,
    ) -> Result<incamera_matching::statement::KeyStatement, incamera_provider::CeremonyError> {
        self.refresh_by(self.terms.providers[0]).await
    }

    pub async fn refresh_by(
        &self,
        by: &str,
    ) -> Result<incamera_matching::statement::KeyStatement, incamera_provider::CeremonyError> {
        let (me, service) = (by.parse().unwrap(), &self.parties[by].service);
        let options = TlsOptions::default();
        incamera_provider::refresh_keys(&self.agreement(), &me, service, &options).await
    }

    /// What was left of a ceremony, finished by one provider with whoever is there.
    pub async fn finish_by(
        &self,
        by: &str,
    ) -> Result<incamera_provider::Finished, incamera_provider::CeremonyError> {
        let (me, service) = (by.parse().unwrap(), &self.parties[by].service);
        let options = TlsOptions::default();
        incamera_provider::finish_keys(&self.agreement(), &me, service, &options).await
    }

    /// A connection to a provider with the service key of a party.
    pub async fn client(&self, provider: &str, party: &str) -> Client {
        let service = &self.parties[party].service;
        self.client_with(provider, Some(service)).await
    }

    pub async fn client_with(&self, provider: &str, key: Option<&SigningKey>) -> Client {
        let provider = &self.parties[provider];
        let url = format!("https://{}", provider.address);
        let options = TlsOptions::default();
        let server = provider.service.public();
        let channel = client::connect(&url, &server, key, &options);
        client::provider(channel.await.unwrap())
    }

    /// The key statement that counts at a provider.
    pub async fn statement(&self, provider: &str) -> Vec<u8> {
        let request = KeysRequest {
            agreement_digest: self.digest(),
        };
        let mut client = self.client(provider, "shop").await;
        client.keys(request).await.unwrap().into_inner().statement
    }

    /// A step of a ceremony, asked by one provider of another.
    pub async fn step(
        &self,
        by: &str,
        of: &str,
        refresh: bool,
        step: Step,
    ) -> Result<Reply, Problem> {
        let frame = CeremonyFrame {
            agreement_digest: self.digest(),
            refresh,
            step: Some(step),
        };
        let reply = self.client(of, by).await.ceremony(frame).await;
        let reply = reply.map_err(|status| Problem::from_status(&status))?;
        Ok(reply.into_inner().reply.unwrap())
    }

    pub fn store(&self, provider: &str) -> PathBuf {
        self.parties[provider].folder.join("provider.sqlite")
    }
}

/// What shares of a provider are sealed under.
pub fn share_key(name: &str) -> Secret32 {
    Secret32::from_bytes([name.as_bytes()[0]; 32])
}
