//! Keys and machines beside a running writer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::thread;

use ducat_prices::PriceTable;
use ducat_store::{Durability, KeyError, Keys, Scope, Sender, Shown, Store, StoreOptions, TenantId};

const TENANT: TenantId = TenantId::LOCAL;

fn store(folder: &std::path::Path) -> Store {
    Store::open(StoreOptions {
        path: folder.join("ledger.db"),
        durability: Durability::Process,
        pricer: Arc::new(PriceTable::embedded()),
        clock: || 1_000_000,
        listener: None,
    })
    .unwrap()
}

#[test]
fn a_key_is_good_until_it_is_revoked_or_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let keys = store.keys().unwrap();
    let lasting = keys.create(TENANT, "lasting", Scope::Ship, 1, None).unwrap();
    let passing = keys.create(TENANT, "passing", Scope::Ship, 1, Some(100)).unwrap();
    let is = |key: &str, now| keys.check(key, now).unwrap();
    assert!(matches!(is(&lasting, 1000), Shown::Good(key) if key.name == "lasting" && key.tenant == TENANT));
    assert!(matches!(is(&passing, 99), Shown::Good(_)) && matches!(is(&passing, 100), Shown::Expired(_)));
    for wrong in ["", "dk_", "dk__", &lasting[..lasting.len() - 1], &format!("{lasting}0"), &lasting.replace("dk_", "dk-")] {
        assert_eq!(is(wrong, 1), Shown::Unknown, "{wrong}");
    }
    assert!(matches!(keys.create(TENANT, "lasting", Scope::Ship, 1, None), Err(KeyError::Taken(_))));
    assert!(matches!(keys.create(TENANT, "a b", Scope::Ship, 1, None), Err(KeyError::BadName(_))));
    // Another process revokes it; this one knows.
    let other = Keys::open(&dir.path().join("ledger.db")).unwrap();
    assert_eq!(other.revoke(TENANT, "lasting", 2000).unwrap().revoked_at, Some(2000));
    assert!(matches!(other.revoke(TENANT, "lasting", 2001), Err(KeyError::Unknown(_))));
    assert!(matches!(is(&lasting, 2000), Shown::Revoked(_)));
    keys.create(TENANT, "lasting", Scope::Ship, 3000, None).unwrap();
    let used: Vec<_> = keys.list(TENANT).unwrap().into_iter().map(|key| (key.name, key.last_used_at)).collect();
    assert_eq!(used.len(), 3);
    assert!(used.contains(&("lasting".into(), Some(1000))) && used.contains(&("passing".into(), Some(99))), "{used:?}");
    // Nothing of the secret is on the disk.
    drop((keys, other, store));
    let secret = lasting.rsplit('_').next().unwrap().as_bytes();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
}

#[test]
fn machines_of_one_name_get_names_of_their_own_whoever_is_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let see = |machine: u8, told: &str, now| {
        let sender = Sender { machine: [machine; 16], told, client: "1", key: "k", clock_skew_ms: 0 };
        store.machines().unwrap().see(TENANT, &sender, &["own".to_owned()], now).unwrap()
    };
    assert_eq!([see(0xab, "build", 1), see(0xcd, "build", 2), see(0xab, "build", 3)], ["build", "build-cdcd", "build"]);
    // One that is renamed takes the name that is free, and gives its own back.
    assert_eq!([see(0xab, "other", 4), see(0xcd, "build", 5), see(0xef, "build", 6)], ["other", "build-cdcd", "build"]);
    // Nor is one called as this machine is.
    assert_eq!(see(0x12, "own", 7), "own-1212");
    let hosts = thread::scope(|scope| {
        let seen: Vec<_> = (0..8_u8).map(|machine| scope.spawn(move || see(machine, "runner", 7))).collect();
        seen.into_iter().map(|seen| seen.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
    });
    assert!(hosts.len() == 8 && hosts.contains("runner"), "{hosts:?}");
    store.machines().unwrap().count(TENANT, [0xab; 16], (5, 2, 1)).unwrap();
    let machines = store.reader().unwrap().machines(TENANT).unwrap();
    let found = machines.iter().find(|machine| machine.host == "other").unwrap();
    assert_eq!((machines.len(), found.first_seen, found.last_seen), (12, 1, 4));
    assert_eq!((found.facts, found.events, found.refused), (5, 2, 1));
    let identity = store.reader().unwrap().identity().unwrap();
    assert_eq!(identity.len(), 16);
    drop(store);
    assert_eq!(self::store(dir.path()).reader().unwrap().identity().unwrap(), identity);
}
