//! `data push --append`: a version that keeps every part of the newest one that was pushed.

use std::collections::BTreeMap;

use incamera_agreement::Agreement;
use incamera_net::services::ManifestsRequest;
use incamera_net::services::room_client::RoomClient;
use incamera_seal::{Change, SignedManifest, open_manifest};
use incamera_types::{DatasetName, Digest as _, ManifestDigest};
use incamera_wire::v1::DataVersion;
use tonic::transport::Channel;

use super::status;
use crate::failure::{Context, Done, Failure};
use crate::folder::Folder;

/// The newest version of each data set that the party's own service knows.
pub struct Newest(BTreeMap<DatasetName, DataVersion>);

impl Newest {
    /// Asks the party's service about the data sets of `manifests`.
    pub fn ask(
        folder: &Folder,
        agreement: &Agreement,
        manifests: &[SignedManifest],
    ) -> Result<Self, Failure> {
        let mut newest = BTreeMap::new();
        for manifest in manifests {
            let name = manifest.dataset();
            let known = status::newest(folder, &agreement.id, name)?;
            newest.extend(known.map(|known| (name.clone(), known)));
        }
        Ok(Self(newest))
    }

    /// Whether `manifest` keeps all that was pushed of its data set.
    pub async fn kept_by(&self, manifest: &SignedManifest, folder: &Folder, room: Channel) -> Done {
        let Some(newest) = self.0.get(manifest.dataset()) else {
            return Ok(());
        };
        let digest = ManifestDigest::from_slice(&newest.manifest)
            .or_fail("the party's service names a manifest that is none")?;
        // What was sealed as an addition keeps everything: sealing sees to it.
        let added = manifest.change() == Change::Appended && manifest.previous() == Some(digest);
        if added || manifest.digest() == digest {
            return Ok(());
        }
        let old = in_room(manifest.dataset(), folder, room).await?;
        let Some(old) = old.filter(|old| old.digest() == digest) else {
            return Err(refused(
                manifest,
                format!(
                    "version {}, the newest that was pushed, is not in the room, so that nothing says whether its parts are kept",
                    newest.version
                ),
            ));
        };
        let gone = old.parts().iter();
        let gone = gone.filter(|part| manifest.part(&part.file_id).is_none());
        match gone.count() {
            0 => Ok(()),
            gone => Err(refused(
                manifest,
                format!(
                    "version {} leaves out {gone} of the {} parts of version {}, the newest that was pushed",
                    manifest.version(),
                    old.parts().len(),
                    newest.version
                ),
            )),
        }
    }
}

fn refused(manifest: &SignedManifest, why: String) -> Failure {
    let name = manifest.dataset();
    Failure::failed(format!("`{name}` was not pushed: `--append` only adds"))
        .why(why)
        .hint(format!(
            "nothing was registered or sent: say `--replace` if the new version is to take the old one's place, or add rows with `incamera data seal {name} --append --data FILE`"
        ))
}

/// The party's own manifest that the room has, if it has one.
async fn in_room(
    dataset: &DatasetName,
    folder: &Folder,
    room: Channel,
) -> Result<Option<SignedManifest>, Failure> {
    let request = ManifestsRequest {
        datasets: vec![dataset.to_string()],
    };
    // A room that has none answers with an error, as one does that is out of order: both leave
    // it open what is there.
    let Ok(reply) = RoomClient::new(room).manifests(request).await else {
        return Ok(None);
    };
    let key = folder.service_key()?.public();
    let mut manifests = reply.into_inner().manifests.into_iter();
    let opened = manifests.next().map(|signed| open_manifest(&signed, &key));
    opened.transpose().or_fail(format!(
        "the manifest of `{dataset}` in the room is not this party's"
    ))
}
