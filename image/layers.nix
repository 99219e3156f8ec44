# Packages, binaries and configuration → read-only erofs images, one store path each.
{ lib, debian, compose }:
rec {
  # Never wanted on an appliance: documentation, translations, other init systems, helpers of maintainer scripts.
  leftOut = [
    "usr/share/{doc,man,info,lintian,bug,locale,i18n,bash-completion,zsh,fish,initramfs-tools,menu,apport,gdb,pixmaps,applications}{,/**}"
    "usr/share/perl5{,/**}" "usr/lib/*/gconv/**" "usr/lib/udev/hwdb.d/**" "usr/share/{base-passwd,common-licenses,polkit-1,reportbug}{,/**}"
    "etc/{init.d,rc?.d,rcS.d,runit,sv,ufw,cron.*,default,apt,dpkg,ld.so.conf.d,update-motd.d}{,/**}" "usr/lib/systemd/system-generators/systemd-sysv-generator"
    "usr/lib/{init,dpkg,apt,tmpfiles.d/passwd.conf,kernel}{,/**}" "usr/lib/systemd/catalog/*.*.catalog" "var/**" "boot/**"
    "usr/bin/{perlbug,c_rehash}" "usr/lib/modules{,/**}"
    # Units that every boot would start in vain: file systems that no program here mounts or reads (whoever needs one may
    # start its unit), work that the build has done, and what needs a TPM, EFI, hibernation or offline updates.
    "usr/lib/systemd/system/sysinit.target.wants/{dev-hugepages,dev-mqueue,sys-fs-fuse-connections,sys-kernel-config,sys-kernel-debug,sys-kernel-tracing}.mount"
    "usr/lib/systemd/system/sysinit.target.wants/{kmod-static-nodes,ldconfig,systemd-firstboot,systemd-hibernate-clear,systemd-hwdb-update,systemd-journal-catalog-update,systemd-machine-id-commit,systemd-pcr*,systemd-sysusers,systemd-tmpfiles-setup-dev-early,systemd-tpm2-*,systemd-update-done}.service"
    "usr/lib/systemd/system/sockets.target.wants/{systemd-pcr*,systemd-initctl,systemd-sysext}.socket"
    "usr/lib/systemd/system-generators/systemd-{hibernate-resume,system-update,tpm2}-generator"
  ];

  # lz4hc is what a slow core decompresses fastest; the image as a whole is compressed for transport anyway. Layers that
  # change often are not compressed: one changed byte would change all compressed bytes of the file after it, and a
  # delta would have to carry them.
  layer = name: { debs ? [ ], entries, exclude ? leftOut, include ? [ ], accounts ? null, compression ? "-zlz4hc,9 -C65536" }: debian.inTools "${name}.erofs" {
    inherit compose;
    spec = builtins.toJSON ({ inherit debs entries exclude include; } // (if accounts == null then { } else { accounts = "${accounts}/etc"; }));
    passAsFile = [ "spec" ];
  } ''
    $compose/bin/compose $specPath layer.tar
    mkfs.erofs --quiet -T 0 --all-time -U 6c696368-656e-4000-8000-6c6179657200 ${compression} --tar=f $out layer.tar
    ls -l $out
  '';

  # The CA bundle as the hook of ca-certificates makes it, for programs that read nothing but this one file, followed by
  # further certificates (files, texts).
  certificates = { files ? [ ], texts ? [ ] }: debian.inTools "ca-certificates.crt" {
    deb = debian.deb "ca-certificates" "arm64";
    inherit files;
    texts = builtins.concatStringsSep "\n" texts;
    passAsFile = [ "texts" ];
  } ''
    dpkg-deb --fsys-tarfile $deb | tar -x
    find usr/share/ca-certificates -name '*.crt' | LC_ALL=C sort | xargs cat > $out
    cat $files $textsPath >> $out
  '';

  # keys: packages of the lock.
  base = keys: layer "base" {
    debs = debian.files keys;
    entries = [
      # What postinsts and alternatives would have made.
      { path = "usr/bin/awk"; link = "mawk"; }
      { path = "usr/bin/pager"; link = "less"; }
      { path = "usr/lib/firmware/regulatory.db"; link = "regulatory.db-debian"; }
      { path = "usr/lib/firmware/regulatory.db.p7s"; link = "regulatory.db.p7s-debian"; }
      { path = "etc/ssl/certs/ca-certificates.crt"; source = certificates { }; }
    ];
  };
  packages = keys: layer "packages" {
    debs = debian.files keys;
    entries = builtins.concatMap (key: alternatives.${key} or [ ]) keys;
    exclude = leftOut ++ builtins.concatMap (key: replaced.${key} or [ ]) keys;
  };
  # What alternatives, or wrappers in Perl, would have made: names that other programs know.
  alternatives = {
    "libblas3:arm64" = [ { path = "usr/lib/aarch64-linux-gnu/libblas.so.3"; link = "blas/libblas.so.3"; } ];
    "liblapack3:arm64" = [ { path = "usr/lib/aarch64-linux-gnu/liblapack.so.3"; link = "lapack/liblapack.so.3"; } ];
    "postgresql-client-17:arm64" = map (program: { path = "usr/bin/${program}"; link = "../lib/postgresql/17/bin/${program}"; })
      [ "pg_dump" "pg_dumpall" "pg_isready" "pg_restore" "psql" ];
  };
  # What one of the modules in modules/daemons puts in the place of the package's own, which would only be in the way: its unit,
  # and what is never used with the module's configuration.
  replaced = {
    "nginx-common:arm64" = [ "usr/lib/systemd/system/nginx.service" ];
    "postgresql-17:arm64" = [ "usr/lib/postgresql/*/lib/bitcode{,/**}" "usr/lib/postgresql/*/lib/llvmjit*" ];
    "prometheus:arm64" = [ "usr/lib/systemd/system/prometheus.service" ];
    "prometheus-alertmanager:arm64" = [ "usr/lib/systemd/system/prometheus-alertmanager.service" ];
    "prometheus-nginx-exporter:arm64" = [ "usr/lib/systemd/system/prometheus-nginx-exporter.service" ];
    "prometheus-postgres-exporter:arm64" = [ "usr/lib/systemd/system/prometheus-postgres-exporter.service" ];
    "prometheus-redis-exporter:arm64" = [ "usr/lib/systemd/system/prometheus-redis-exporter.service" ];
    "valkey-server:arm64" = [ "usr/lib/systemd/system/valkey-server{,@}.service" ];
  };
  kernel = tree: layer "kernel" {
    entries = [
      { path = "usr/lib/modules"; source = "${tree}/usr/lib/modules"; }
      { path = "usr/lib/firmware"; source = "${tree}/usr/lib/firmware"; }
      { path = "usr/lib/tmpfiles.d/static-nodes.conf"; source = "${tree}/usr/lib/tmpfiles.d/static-nodes.conf"; }
    ];
  };
  services = programs: layer "services" { compression = ""; entries = map (p: { path = "usr/bin"; source = "${p}/bin"; }) programs; };
  config = accounts: entries: layer "config" { compression = ""; inherit entries accounts; };

  # /etc/passwd and its kin: the sysusers.d files of packages, after our own, which pins every number.
  # passwords: hashes by user name; whoever has none cannot log in with one.
  accounts = keys: { sysusers, passwords }: debian.inTools "accounts" {
    debs = debian.files keys;
    inherit sysusers;
    passwords = builtins.concatStringsSep "" (map (user: "${user}:${passwords.${user}}\n") (builtins.attrNames passwords));
    passAsFile = [ "sysusers" "passwords" ];
  } ''
    mkdir -p root/etc/sysusers.d root/usr/share
    for deb in $debs; do
      dpkg-deb --fsys-tarfile $deb | tar -x -C root --wildcards './usr/lib/sysusers.d/*' './usr/share/base-passwd/*' 2> /dev/null || true
    done
    cp root/usr/share/base-passwd/passwd.master root/etc/passwd
    cp root/usr/share/base-passwd/group.master root/etc/group
    # First by name: where two files name a user, the first counts.
    cp $sysusersPath root/etc/sysusers.d/00-lichen.conf
    systemd-sysusers --root=/build/root 2>&1
    mkdir -p $out/etc
    chmod u+rw root/etc/{shadow,gshadow}
    cp root/etc/{passwd,group,gshadow} $out/etc/
    # No date of last change: it would be that of the build, and day 0 means "change it at the next login".
    awk -F: -v OFS=: 'FILENAME == ARGV[1] { hash[$1] = $2; next } { if ($1 in hash) $2 = hash[$1]; $3 = ""; print }' \
      $passwordsPath root/etc/shadow > $out/etc/shadow
  '';

  # `systemd-analyze verify` of every unit that the configuration brings and of all that it starts with them, on the
  # layers as they are.
  unitsVerified = { layers, units }: debian.inTools "units-verified" { inherit layers units; } ''
    mkdir root
    for layer in $layers; do fsck.erofs --extract=root --overwrite --no-preserve-owner --no-preserve-perms $layer > /dev/null 2> /build/report || { cat /build/report; exit 1; }; done
    refuse() { cat /build/report; echo "error: $1"; exit 1; }
    touch report
    cd root/etc/systemd/system
    for unit in $units; do
      [ ! -e /build/root/usr/lib/systemd/system/$unit ] || refuse "$unit is Debian's too: this configuration would hide all of it (overrideStrategy = \"asDropin\")"
    done
    for folder in *.d; do
      unit=''${folder%.d}
      [ -e $unit ] || [ -e /build/root/usr/lib/systemd/system/$unit ] || [ ! -d $folder ] || refuse "$folder changes a unit that does not exist"
    done
    systemd-analyze verify --root=/build/root --man=no $units default.target > /build/report 2>&1 \
      || refuse "systemd-analyze verify refuses a unit of this configuration (above)"
    ! grep -q 'ordering cycle' /build/report || refuse "units wait for each other in a circle (above)"
    cat /build/report

    cd /build
    . ${./judge.sh}
    judge /build/root > /build/report 2>&1 || refuse "this configuration would not do what it says"
    touch $out
  '';

  # That mistakes which only the programs of a device can see are seen, by their words.
  mistakesSeen = debian.inTools "mistakes-seen" {
    debs = map (n: debian.deb n "arm64")
      [ "libc6" "libgcc-s1" "openssh-client" "libselinux1" "libssl3t64" "libpcre2-8-0" "zlib1g" "libzstd1" "systemd" "systemd-resolved" "systemd-timesyncd" "udev" ];
  } ''
    mkdir root
    for deb in $debs; do dpkg-deb --fsys-tarfile $deb | tar -x -C root; done
    ln -sfn usr/lib root/lib
    mkdir -p root/etc/systemd/network root/etc/lichen/scripts root/etc/ssh/authorized_keys.d
    . ${./judge.sh}
    # sees WORDS: the judge refuses the root as it is now, with these words.
    sees() {
      local said
      ! said=$(judge /build/root 2>&1) || { echo "taken: $1"; exit 1; }
      case $said in *"$1"*) ;; *) echo "instead of \"$1\": $said"; exit 1 ;; esac
    }
    key=AAAAC3NzaC1lZDI1NTE5AAAAIG1lCyLg8uNLwgEd7CM/8mxZGPTlWUQ9F5OG9JYyqUVn
    printf '[Match]\nName=end0\n# Gatway=1\n[Network]\nAddress=10.0.0.2/24\nGateway=10.0.0.1\n' > root/etc/systemd/network/10-x.network
    printf '[Match]\nMACAddress=02:00:00:00:00:01\n[Link]\nName=lan\n' > root/etc/systemd/network/10-x.link
    printf '[Resolve]\nDNS=10.0.0.1 \\\n  10.0.0.3\n' > root/etc/systemd/resolved.conf
    printf '#! /bin/bash -e\nif true; then echo x; fi\n' > root/etc/lichen/scripts/x-start
    echo "ssh-ed25519 $key me@laptop" > root/etc/ssh/authorized_keys.d/root
    judge /build/root || { echo "what is right is refused (above)"; exit 1; }
    sed -i 's/Gateway/Gatway/' root/etc/systemd/network/10-x.network
    sees '/etc/systemd/network/10-x.network: [Network] Gatway='
    sed -i 's/Gatway=10/Gateway=10/' root/etc/systemd/network/10-x.network
    sed -i 's/^Name=lan/Nam=lan/' root/etc/systemd/network/10-x.link
    sees '10-x.link: [Link] Nam='
    sed -i 's/^Nam=/Name=/' root/etc/systemd/network/10-x.link
    sed -i 's/; fi//' root/etc/lichen/scripts/x-start
    sees 'bash cannot read the script x-start'
    sed -i 's/echo x/echo x; fi/' root/etc/lichen/scripts/x-start
    echo "ssh-ed25519 ''${key%n} me@laptop" >> root/etc/ssh/authorized_keys.d/root
    sees "sshd would not take the key \"ssh-ed25519 ''${key%n} me@laptop\" of the user root"
    touch $out
  '';

  # Each service checks its configuration itself: the very binary that will run does it, under user-mode QEMU.
  configChecked = { program, name, file }: debian.inTools "${name}-config-checked" {
    inherit program file;
    # With the time zones, which a configuration may name.
    debs = map (n: debian.deb n "arm64") [ "libc6" "libgcc-s1" "tzdata" ];
  } ''
    mkdir root
    for deb in $debs; do dpkg-deb --fsys-tarfile $deb | tar -x -C root; done
    ln -sfn usr/lib root/lib
    qemu-aarch64 -L root $program/bin/${name} --check-config $file
    touch $out
  '';

  # A daemon judges its configuration itself (see lichen.configurationChecks): with the programs of `debs`, under user-mode
  # QEMU, and the texts `etc` below /etc.
  configurationJudged = { name, debs, etc, script }: debian.inJudge "${name}-judged" {
    inherit debs;
    etc = builtins.toJSON etc;
    commands = script;
    passAsFile = [ "etc" "commands" ];
  } ''
    mkdir -p root/etc bin
    for deb in $debs; do dpkg-deb --fsys-tarfile $deb | tar -x -C root; done
    ln -sfn usr/lib root/lib
    # On the device, they lead to its root.
    find root -type l -lname '/*' | while read -r link; do ln -sfn /build/root$(readlink $link) $link; done
    cp /etc/passwd /etc/group root/etc/
    echo '127.0.0.1 localhost' > root/etc/hosts
    jq -r 'keys[]' $etcPath | while read -r file; do
      mkdir -p root/etc/$(dirname $file)
      rm -f root/etc/$file
      jq -jr --arg file $file '.[$file]' $etcPath > root/etc/$file
    done
    device() { local program=$1; shift; qemu-aarch64 -L /build/root /build/root$program "$@"; }
    # In its own place, so that it finds what belongs to it, and is found by programs beside it.
    stand_in() {
      local program=/build/root$1
      mv $program $program.arm64
      printf '#!/bin/sh\nexec qemu-aarch64 -0 %s -L /build/root %s.arm64 "$@"\n' $program $program > $program
      chmod 755 $program
      ln -s $program bin/
    }
    PATH=/build/bin:$PATH
    . $commandsPath
    touch $out
  '';

  # The programs of a package that does without something (`without` in the lock) find all libraries and all symbols.
  programsResolved = { name, deb, layers }: let folder = programsOf.${name} or "usr/bin"; in debian.inTools "${name}-resolved" { inherit deb layers; } ''
    mkdir root
    for layer in $layers; do fsck.erofs --extract=root --overwrite --no-preserve-owner --no-preserve-perms $layer > /dev/null; done
    ln -sfn usr/lib root/lib
    dpkg-deb --fsys-tarfile $deb | tar -t | sed -n 's,^\./\(${folder}/.\+\),\1,p' > programs
    [ -s programs ] || { echo "error: ${name} has no program in /${folder}, so nothing tells what it can do without: take it out of [without] in packages.toml"; exit 1; }
    while read -r program; do
      qemu-aarch64 -L root -E LD_BIND_NOW=1 -E LD_WARN=1 root/lib/ld-linux-aarch64.so.1 --list root/$program > report 2>&1 < /dev/null \
        && ! grep -E 'not found|undefined symbol' report || { cat report; echo "error: $program does not start without what ${name} is to do without: see [without] in packages.toml"; exit 1; }
      echo "$program finds its $(grep -c '=>' report) libraries"
    done < programs
    touch $out
  '';
  # Where packages have their programs that have them elsewhere.
  programsOf.postgresql-17 = "usr/lib/postgresql/17/bin";
}
