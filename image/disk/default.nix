# BOOT and DATA → the image, a GPT disk that is the same bytes every time, and the files beside it.
{ lib, debian }:
rec {
  # A closure in the form that `nix-store --load-db` reads. This is the only derivation with structured attributes, since
  # Nix gives the hashes to no other kind of derivation.
  registration = toplevel: derivation {
    name = "registration";
    inherit (lib) system;
    __structuredAttrs = true;
    exportReferencesGraph.closure = [ toplevel ];
    builder = debian.busybox;
    args = [ "ash" "-euc" ''
      t=${debian.toolsTree}/usr
      jq() { $t/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path $t/lib/x86_64-linux-gnu $t/bin/jq "$@"; }
      # In a sandbox, Nix 2.8 gives the variable the path outside of it.
      attrs=.attrs.json
      [ -e $attrs ] || attrs=$NIX_ATTRS_JSON_FILE
      jq -r '.closure | map([.path, .narHash, .narSize, "", (.references | length)] + .references) | add | map("\(.)\n") | add' $attrs \
        | ${debian.busybox} head -n -1 > $(jq -r .outputs.out $attrs)
    '' ];
  };

  # name: of the appliance. boot: the folder with the files of BOOT. toplevel: the generation whose closure DATA holds.
  # documents: further files for the output (name → text). facts: shell lines that write manifest.json, run when
  # $out/$name.img exists.
  image = { name, boot, toplevel, documents, facts }: debian.inTools "${name}-image" {
    uid = 0;
    inherit boot toplevel;
    registration = registration toplevel;
    # Every store path that the toplevel needs, as Nix knows them.
    exportReferencesGraph = [ "closure" toplevel ];
    documents = builtins.toJSON documents;
    passAsFile = [ "documents" ];
  } ''
    # --- DATA: the store and an empty /var; grown to the card at first boot
    mkdir -p data/nix/store data/nix/var/nix data/var $out
    for path in $(grep '^/nix/store/' closure | sort -u); do cp -a $path data/nix/store/; done
    # Read into Nix's database at first boot: as a file it is the same bytes every time.
    cp $registration data/nix/registration
    find data -exec touch -h -d @1 {} +
    used=$(du -sm data | cut -f 1)
    mke2fs -q -t ext4 -b 4096 -i 16384 -L DATA -d data -U 6c696368-656e-4000-8000-646174610001 -J size=16 \
      -E hash_seed=6c696368-656e-4000-8000-646174610002,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 \
      data.ext4 $((used + used / 20 + 80))M

    # --- BOOT: plain FAT, not an ESP: U-Boot must find nowhere to persist EFI variables
    cp -r $boot bootfs
    chmod -R u+w bootfs
    find bootfs -exec touch -h -d @315532800 {} +
    mkdir definitions
    printf '[Partition]\nType=ebd0a0a2-b9e5-4433-87c0-68b6b72699c7\nLabel=BOOT\nFormat=vfat\nCopyFiles=/build/bootfs:/\nSizeMinBytes=256M\nSizeMaxBytes=256M\n' > definitions/10-boot.conf
    printf '[Partition]\nType=linux-generic\nLabel=DATA\nCopyBlocks=/build/data.ext4\n' > definitions/20-data.conf
    # Small clusters: with fewer than 65525 of them some readers take FAT32 for FAT16. repart would make the FAT's
    # sectors 4096 bytes, which not every firmware reads from a card whose sectors have 512.
    export SYSTEMD_REPART_MKFS_OPTIONS_VFAT='-S 512 -s 2'
    systemd-repart --offline=yes --sector-size=512 --empty=create --size=auto --seed=6c696368-656e-4000-8000-6469736b0001 \
      --definitions=definitions --architecture=arm64 --no-pager --dry-run=no disk.img 2>&1
    cp --sparse=always disk.img $out/${name}.img
    sfdisk -d $out/${name}.img

    cd $out
    sha256sum ${name}.img > sha256sums &
    zstd -q -T2 -6 ${name}.img
    wait $!
    jq -r 'keys[]' $documentsPath | while read -r file; do jq -r --arg file $file '.[$file]' $documentsPath > $file; done
    ${facts}
    sha256sum ${name}.img.zst >> sha256sums
    ls -ls
  '';
}
