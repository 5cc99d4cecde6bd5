//! The durable queue through the public API: full disks, damage, several processes, outages, restarts.
#![cfg(all(feature = "local-edge", feature = "spool", unix))]

#[path = "support/random.rs"]
mod random;
#[path = "spool/scene.rs"]
mod scene;
mod support;

#[path = "spool/damage.rs"]
mod damage;
#[path = "spool/disk.rs"]
mod disk;
#[path = "spool/lives.rs"]
mod lives;
#[path = "spool/older.rs"]
mod older;
