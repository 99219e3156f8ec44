# The build engine: raw derivations, no inputs. Everything else in image/ is made of these few functions.
rec {
  system = "x86_64-linux";

  # A name that the store accepts: Debian's versions may contain ~ : % as well.
  storeName = builtins.replaceStrings [ "~" ":" "%" ] [ "_" "_" "_" ];

  # Something from outside, known by its hash. `./lichen fetch` puts it into the store under exactly this
  # path, through the machine's own apt and cargo, so this builder runs only if that was forgotten; Nix then
  # prints the URL, whose text says what to do.
  fetched = { name, hash, mode ? "flat" }: derivation {
    name = storeName name;
    system = "builtin";
    builder = "builtin:fetchurl";
    url = "file:///not-fetched/run-lichen-fetch-first/${storeName name}";
    urls = [ ];
    outputHashMode = mode;
    outputHashAlgo = "sha256";
    outputHash = hash;
    executable = false;
    unpack = false;
    preferLocalBuild = true;
  };

  # The first builder needs no other: a static busybox. The basename of argv0 must be `busybox`, hence the
  # folder. Seeded with `nix-store --add-fixed --recursive sha256 …/bootstrap` (holding one file, busybox).
  mkBusybox = hash: "${fetched { name = "bootstrap"; inherit hash; mode = "recursive"; }}/busybox";

  # Runs an ash script with nothing but busybox ($bb).
  mkRunBusybox = busybox: name: env: script: derivation ({
    inherit name system;
    builder = busybox;
    args = [ "ash" "-euc" ''
      bb=${busybox}
      ${script}
    '' ];
  } // env);

  # A Debian file system tree in the store, from packages, for running programs in. base-files comes first and
  # alone, as it brings the links of the merged /usr.
  mkTree = runBusybox: name: { first, debs, post ? "" }: runBusybox name {
    inherit first debs;
    passAsFile = [ "debs" ];
  } ''
    umask 022
    $bb mkdir $out
    $bb cat > unpack <<'EOS'
    $bb ar -p "$1" data.tar.xz | $bb unxz | $bb tar -x --no-same-permissions --no-same-owner -C $out
    EOS
    export bb out
    for deb in $first; do $bb ash -eu -o pipefail unpack $deb; done
    $bb tr ' ' '\n' < $debsPath | $bb xargs -P 2 -n 1 $bb ash -eu -o pipefail unpack
    ${post}
  '';

  # Runs a bash script inside such a tree, the same way with Nix's sandbox on and off: static busybox → the
  # tree's ld.so → bwrap (new user, mount, pid, net, ipc and uts namespaces) → bash. Attributes of `env` arrive
  # as variables; text too long for one goes through `passAsFile`.
  # uid: who the script is (0 makes files it lists belong to root). binds: further bwrap arguments.
  mkInTree = busybox: tree: name: env@{ uid ? 1000, binds ? "", passAsFile ? [ ], ... }: script: derivation ({
    inherit name system tree script busybox;
    builder = busybox;
    args = [ "ash" "-euc" ''
      t=$tree
      exec $t/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path $t/usr/lib/x86_64-linux-gnu $t/usr/bin/bwrap \
        --unshare-all --die-with-parent --uid ${toString uid} --gid ${toString uid} --hostname localhost \
        --ro-bind $t/usr /usr --symlink usr/bin /bin --symlink usr/sbin /sbin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
        --ro-bind $t/etc /etc --proc /proc --dev /dev --tmpfs /tmp --dir /var/tmp --dir /run \
        ${binds} --bind /nix/store /nix/store --bind $NIX_BUILD_TOP /build --chdir /build \
        --setenv PATH /usr/bin:/usr/sbin --setenv HOME /build --setenv TMPDIR /build --setenv LC_ALL C \
        --setenv NIX_BUILD_TOP /build --setenv SOURCE_DATE_EPOCH 1 --setenv scriptPath /build/''${scriptPath##*/} \
        ${builtins.concatStringsSep " " (map (v: "--setenv ${v}Path /build/\${${v}Path##*/}") passAsFile)} \
        /usr/bin/bash -euo pipefail -c '. $scriptPath'
    '' ];
  } // removeAttrs env [ "binds" "uid" ] // { passAsFile = passAsFile ++ [ "script" ]; });
}
