use super::*;
use serde_json::{Value, json};

const IMAGE: u64 = 479_000_000;

/// A device as `lsblk` describes it: a card in a reader, except for `facts`.
fn device(name: &str, facts: Value) -> Value {
    let mut device = json!({
        "name": name, "path": format!("/dev/{name}"), "type": "disk", "size": 31_914_983_424u64, "ro": false,
        "rm": true, "hotplug": true, "tran": "usb", "vendor": "Generic ", "model": "SD/MMC", "mountpoints": [null],
        "fstype": null, "label": null, "partlabel": null, "log-sec": 512,
    });
    for (key, value) in facts.as_object().unwrap() {
        device[key] = value.clone();
    }
    device
}

fn part(name: &str, mountpoints: Value) -> Value {
    device(
        name,
        json!({"type": "part", "mountpoints": mountpoints, "fstype": "ext4"}),
    )
}

fn refusal(device: &str, disks: Vec<Value>) -> Option<Refusal> {
    let disks = parse(&json!({ "blockdevices": disks }).to_string()).unwrap();
    usable(&disks, Path::new(device), IMAGE).err()
}

#[test]
fn a_card_that_nothing_uses_is_taken() {
    let parts = json!({"children": [part("sdb1", json!([null])), part("sdb2", json!([]))]});
    assert_eq!(refusal("/dev/sdb", vec![device("sdb", parts)]), None);
    let built_in = json!({"tran": null, "rm": false, "hotplug": false, "size": IMAGE});
    assert_eq!(
        refusal("/dev/mmcblk0", vec![device("mmcblk0", built_in)]),
        None
    );
}

#[test]
fn every_refusal_names_the_device_the_reason_and_the_next_command() {
    let parent = |children: Value| json!({ "children": children });
    let over = |name: &str, kind: &str, mounts: Value| {
        let stacked =
            json!({"type": kind, "path": format!("/dev/mapper/{name}"), "mountpoints": mounts});
        parent(json!([device(
            "sdb1",
            json!({"type": "part", "children": [device(name, stacked)]})
        )]))
    };
    let raid = json!({"type": "raid1", "path": "/dev/md0"});
    let table = [
        (
            parent(json!([
                part("sdb1", json!(["/media/me/BOOT"])),
                part("sdb2", json!(["/media/me/DATA", "/mnt"]))
            ])),
            "is in use: /dev/sdb1 is mounted at /media/me/BOOT",
            "umount /dev/sdb1 /dev/sdb2",
        ),
        (
            json!({"mountpoints": ["/mnt"]}),
            "is in use: /dev/sdb is mounted at /mnt",
            "umount /dev/sdb",
        ),
        (
            parent(json!([
                part("sdb1", json!(["/boot/efi"])),
                part("sdb2", json!(["/"]))
            ])),
            "holds the running system: /dev/sdb1 is mounted at /boot/efi",
            "./lichen flash --list shows what can be written to",
        ),
        (
            parent(json!([part("sdb5", json!(["[SWAP]"]))])),
            "is in use: /dev/sdb5 is swap",
            "swapoff /dev/sdb5",
        ),
        (
            over("luks-home", "crypt", json!(["/home"])),
            "holds the running system: /dev/mapper/luks-home is mounted at /home",
            "./lichen flash --list shows what can be written to",
        ),
        (
            over("vg-data", "lvm", json!(["/srv"])),
            "is in use: /dev/mapper/vg-data is mounted at /srv",
            "umount /dev/mapper/vg-data",
        ),
        (
            over("vg-data", "lvm", json!([null])),
            "is in use: /dev/mapper/vg-data (lvm) is made of it",
            "lvchange -an /dev/mapper/vg-data",
        ),
        (
            over("safe", "crypt", json!([null])),
            "is in use: /dev/mapper/safe (crypt) is made of it",
            "cryptsetup close /dev/mapper/safe",
        ),
        (
            parent(json!([device("md0", raid)])),
            "is in use: /dev/md0 (raid1) is made of it",
            "mdadm --stop /dev/md0",
        ),
        (
            over("mpatha", "mpath", json!([null])),
            "is in use: /dev/mapper/mpatha (mpath) is made of it",
            "dmsetup remove /dev/mapper/mpatha",
        ),
        (
            json!({"ro": true}),
            "is read-only",
            "slide the little lock on the side of the card towards its contacts",
        ),
        (
            json!({"size": 0}),
            "has no card in it",
            "put a card in; ./lichen flash --list shows when it is there",
        ),
        (
            json!({"type": "rom"}),
            "is not a disk but of type rom",
            "./lichen flash --list shows what can be written to",
        ),
        (
            json!({"log-sec": 4096}),
            "has sectors of 4096 bytes; the image's partition table is made for 512",
            "./lichen flash --list shows what can be written to",
        ),
        (
            json!({"size": IMAGE - 1}),
            "is too small: it has 478.9 MB, the image needs 479.0 MB",
            "./lichen flash --list shows what can be written to",
        ),
    ];
    for (facts, reason, hint) in table {
        let failure = refusal("/dev/sdb", vec![device("sdb", facts)])
            .expect(reason)
            .about(Path::new("/dev/sdb"));
        assert_eq!(failure.what, format!("/dev/sdb {reason}"));
        assert_eq!(failure.hint, hint);
    }
}

#[test]
fn only_a_whole_disk_is_written_to() {
    let stacked = json!({"type": "lvm", "path": "/dev/mapper/vg-data"});
    let parts = json!([
        part("sdb1", json!([null])),
        device(
            "sdb2",
            json!({"type": "part", "children": [device("vg-data", stacked)]})
        )
    ]);
    let disks = vec![device("sdb", json!({ "children": parts }))];
    let partition = refusal("/dev/sdb1", disks.clone()).unwrap();
    assert_eq!(partition.hint(), "the whole disk is /dev/sdb");
    let stacked = refusal("/dev/mapper/vg-data", disks.clone());
    assert_eq!(stacked, Some(Refusal::NoDisk("lvm".into())));
    assert_eq!(refusal("/dev/sdc", disks), Some(Refusal::Unknown));
}

#[test]
fn the_table_shows_cards_first_and_why_others_are_none() {
    let system = json!({"tran": "nvme", "rm": false, "hotplug": false, "model": "SSD", "vendor": null,
        "children": [part("nvme0n1p1", json!(["/"]))]});
    let disks = json!({"blockdevices": [
        device("loop7", json!({"type": "loop", "size": 0, "rm": false, "hotplug": false})),
        device("nvme0n1", system),
        device("sdb", json!({})),
        device("zram0", json!({"tran": null})),
    ]});
    let table = table(&parse(&disks.to_string()).unwrap());
    assert_eq!(
        table,
        "DEVICE        SIZE     MODEL           BUS   REMOVABLE  STATE\n\
         /dev/sdb      31.9 GB  Generic SD/MMC  usb   yes        ready\n\
         /dev/nvme0n1  31.9 GB  SSD             nvme  no         holds the running system: /dev/nvme0n1p1 is mounted at /\n"
    );
}

#[test]
fn who_is_asked_sees_what_would_be_lost() {
    let boot = device(
        "sdb1",
        json!({"type": "part", "fstype": "vfat", "label": "BOOT", "size": 268_435_456}),
    );
    let data = device(
        "sdb2",
        json!({"type": "part", "partlabel": "DATA", "size": 31_000_000_000u64}),
    );
    let built_in = json!({"tran": "sata", "rm": false, "hotplug": false});
    let disks = json!({"blockdevices": [device("sdb", json!({"children": [boot, data]})), device("sda", built_in)]});
    let disks = parse(&disks.to_string()).unwrap();
    assert_eq!(
        disks[0].summary(),
        "/dev/sdb: 31.9 GB, Generic SD/MMC, usb; on it: BOOT vfat 268.4 MB, DATA unknown 31.0 GB"
    );
    assert_eq!(
        disks[1].summary(),
        "/dev/sda: 31.9 GB, Generic SD/MMC, sata, BUILT INTO THIS MACHINE; on it: nothing that is known here"
    );
}
