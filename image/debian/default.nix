# The lock as Nix values: every package a fixed path, closures by walking its graph.
{ lib, lock }:
let
  fetch = p: lib.fetched { name = "${p.name}_${p.version}_${p.arch}.deb"; hash = p.sha256; };
in rec {
  debs = builtins.mapAttrs (_: fetch) lock.packages;

  # Keys ("bash:arm64") of packages and of all they depend on, except what one of them itself does without.
  closure = keys:
    let
      named = map (key: { inherit key; });
      reach = without: keys: builtins.genericClosure {
        startSet = named keys;
        operator = { key }: named (builtins.filter (d: ! builtins.elem d without) lock.packages.${key}.depends);
      };
      cut = builtins.partition (key: lock.packages.${key} ? without) keys;
      all = reach [ ] cut.wrong ++ builtins.concatMap (key: reach lock.packages.${key}.without [ key ]) cut.right;
    in map (x: x.key) (if cut.right == [ ] then all else builtins.genericClosure { startSet = all; operator = _: [ ]; });

  files = map (key: debs.${key});
  setClosure = name: closure lock.sets.${name};
  set = name: files lock.sets.${name};

  # The one .deb of a package.
  deb = name: arch: debs."${name}:${arch}";

  # Trees to run programs in: one per purpose, so that a change of one rebuilds only what came out of it.
  busybox = lib.mkBusybox lock.bootstrap.busybox;
  runBusybox = lib.mkRunBusybox busybox;
  buildTree = name: { keys, extra ? [ ], post ? "" }: lib.mkTree runBusybox name {
    first = [ (deb "base-files" "amd64") ];
    debs = builtins.filter (d: d != deb "base-files" "amd64") (files keys) ++ extra;
    post = ''
      # What alternatives and postinsts would have made.
      $bb printf 'root:x:0:0:root:/build:/bin/bash\nbuild:x:1000:1000:build:/build:/bin/bash\n' > $out/etc/passwd
      $bb printf 'root:x:0:\nbuild:x:1000:\n' > $out/etc/group
      [ ! -e $out/usr/bin/mawk ] || $bb ln -sf mawk $out/usr/bin/awk
      ${post}
    '';
  };
  rustTree = buildTree "rust-tree" {
    keys = setClosure "rust";
    extra = set "rust-arm64";
    post = "$bb ln -sf gcc $out/usr/bin/cc";
  };
  toolsTree = buildTree "tools-tree" { keys = setClosure "tools"; };
  # Where daemons judge their configurations. Unlike the tools, it has a shell that is called sh, which some of them run.
  judgeTree = buildTree "judge-tree" {
    keys = closure (map (name: "${name}:amd64") [ "base-files" "bash" "bubblewrap" "coreutils" "dpkg" "findutils" "grep" "jq" "qemu-user" "sed" "tar" ]);
    post = ''
      $bb ln -s bash $out/usr/bin/sh
      for program in $out/usr/bin/qemu-*; do [ $program = $out/usr/bin/qemu-aarch64 ] || $bb rm $program; done
    '';
  };
  # The file systems of a card are checked with the tools that made them.
  testTree = buildTree "test-tools" {
    keys = closure (lock.sets.test ++ [ "e2fsprogs:amd64" ]);
    extra = [ (deb "u-boot-qemu" "arm64") ];
    # As the image's own.
    post = import ../boot/no-delay.nix { inherit busybox; } "$out/usr/lib/u-boot/qemu_arm64/u-boot.bin";
  };
  checkTree = buildTree "check-tools" { keys = setClosure "checks"; };
  serversTree = buildTree "servers-tree" {
    keys = setClosure "servers";
    post = "$bb ln -sf dash $out/usr/bin/sh";
  };
  inRust = lib.mkInTree busybox rustTree;
  inTools = lib.mkInTree busybox toolsTree;
  inJudge = lib.mkInTree busybox judgeTree;

  # `pkgs.<debian package>`: prints as /usr, since that is where its files are on the device. The string's
  # context remembers the package, and so the appliance knows what its configuration uses.
  mark = derivation: builtins.appendContext "/usr" {
    ${builtins.unsafeDiscardStringContext derivation.drvPath}.outputs = [ "out" ];
  };
  package = key: {
    type = "derivation";
    pname = lock.packages.${key}.name;
    name = "${lock.packages.${key}.name}-${lock.packages.${key}.version}";
    version = lock.packages.${key}.version;
    outPath = mark debs.${key};
    debianKey = key;
    meta = { };
  };
  targetKeys = closure (builtins.concatLists (map (s: lock.sets.${s}) [ "base" "extra" ]));
  pkgs = builtins.listToAttrs (map (key: { name = lock.packages.${key}.name; value = package key; }) targetKeys);
}
