# Crates of this workspace → binaries, in steps, each of which starts from what the steps before it have compiled: the
# dependencies that programs for the device share, the further dependencies of a program, the libraries of this workspace
# that it is made of, the program. The steps for dependencies see only manifests and Cargo.lock, so that an edit of a
# service recompiles that service alone.
{ lib, debian, root }:
let
  workspace = builtins.fromTOML (builtins.readFile (root + "/Cargo.toml"));
  config = builtins.fromTOML (builtins.readFile (root + "/.cargo/config.toml"));
  cargoLock = builtins.fromTOML (builtins.readFile (root + "/Cargo.lock"));

  # Every member's manifest, by package name.
  folders = [ "tests" ] ++ map (n: "crates/${n}") (builtins.attrNames (builtins.readDir (root + "/crates")));
  members = builtins.listToAttrs (map (folder:
    let manifest = builtins.fromTOML (builtins.readFile (root + "/${folder}/Cargo.toml"));
    in { name = manifest.package.name; value = { inherit folder manifest; }; }) folders);

  # The members a crate is made of.
  local = name: map (x: x.key) (builtins.genericClosure {
    startSet = [ { key = name; } ];
    operator = { key }: map (key: { inherit key; }) (builtins.filter
      (n: (workspace.workspace.dependencies.${n} or { }) ? path)
      (builtins.attrNames ((members.${key}.manifest.dependencies or { }) // (members.${key}.manifest.build-dependencies or { }))));
  });

  # --- sources from the registry -------------------------------------------------------------------
  crateFile = p: lib.fetched { name = "${p.name}-${p.version}.crate"; hash = p.checksum; };

  # Packages of Cargo.lock that a member needs, for its vendor folder and the bill of materials. An entry
  # of `dependencies` is "name" or, where that is ambiguous, "name version".
  byName = builtins.groupBy (p: p.name) cargoLock.package;
  resolve = dependency:
    let
      parts = builtins.filter builtins.isString (builtins.split " " dependency);
      candidates = byName.${builtins.head parts};
    in if builtins.length parts == 1 then builtins.head candidates
       else builtins.head (builtins.filter (p: p.version == builtins.elemAt parts 1) candidates);
  # What a package is made of. Cargo.lock also names what only the tests of a member need, which no image is made of.
  madeOf = package:
    let
      all = map resolve (package.dependencies or [ ]);
      manifest = members.${package.name}.manifest;
      tables = builtins.concatMap (m: [ m.dependencies or { } m.build-dependencies or { } ]) ([ manifest ] ++ builtins.attrValues (manifest.target or { }));
    in if package ? source then all else builtins.filter (p: builtins.any (table: table ? ${p.name}) tables) all;
  closure = parts: names: map (x: x.package) (builtins.genericClosure {
    startSet = map (n: let p = builtins.head byName.${n}; in { key = "${n} ${p.version}"; package = p; }) names;
    operator = { package, ... }: map (p: { key = "${p.name} ${p.version}"; package = p; }) (parts package);
  });
  lockClosure = closure madeOf;
  # The same, for the bill of materials: without what belongs to features that no member here asks for. Cargo has to be
  # given that, too, but compiles nothing of it.
  materials = names:
    let
      asked = name: builtins.concatMap (m: members.${m}.manifest.dependencies.${name}.features or [ ])
        (unique (builtins.concatMap local names));
      compiled = package: dependency:
        let inherit (members.${package.name}) manifest;
        in ! (manifest.dependencies.${dependency.name}.optional or false)
          || builtins.any (f: builtins.elem "dep:${dependency.name}" manifest.features.${f}) (asked package.name);
    in closure (p: if p ? source then madeOf p else builtins.filter (compiled p) (madeOf p)) names;

  # A "directory source" of these packages, as `cargo vendor` would make it. begun: another such source; packages that
  # are in it need not be unpacked again.
  vendor = { packages, begun ? "" }: debian.runBusybox "vendor" {
    inherit begun;
    list = builtins.concatStringsSep "" (map (p: "${crateFile p} ${p.name}-${p.version} ${p.checksum}\n")
      (builtins.filter (p: p ? checksum) packages));
    passAsFile = [ "list" ];
  } ''
    $bb mkdir $out; cd $out
    while read -r file folder sum; do
      if [ -e "$begun/$folder" ]; then $bb ln -s $begun/$folder; continue; fi
      $bb tar -x -z --no-same-permissions --no-same-owner -f $file
      echo "{\"files\":{},\"package\":\"$sum\"}" > $folder/.cargo-checksum.json
    done < $listPath
  '';

  # --- a workspace of just the members that a program is made of -----------------------------------------
  # With the whole workspace, any new dependency of any member would recompile all programs, even those in the initrd.
  toml = value:
    if builtins.isAttrs value then "{ ${builtins.concatStringsSep ", " (map (n: "${builtins.toJSON n} = ${toml value.${n}}") (builtins.attrNames value))} }"
    else if builtins.isList value then "[ ${builtins.concatStringsSep ", " (map toml value)} ]"
    else builtins.toJSON value;
  excerpt = names:
    let
      manifests = map (n: members.${n}.manifest) names;
      sections = builtins.concatMap (m: [ m ] ++ builtins.attrValues (m.target or { })) manifests;
      wanted = builtins.foldl' (all: m: all // m.dependencies or { } // m.build-dependencies or { }) { } sections;
      packages = lockClosure names;
      versions = builtins.groupBy (p: p.name) packages;
      entry = p: ''

        [[package]]
        name = "${p.name}"
        version = "${p.version}"
        ${if p ? source then "source = \"${p.source}\"\nchecksum = \"${p.checksum}\"\n" else ""}dependencies = ${toml (map
          (r: if builtins.length versions.${r.name} == 1 then r.name else "${r.name} ${r.version}")
          (madeOf p))}
      '';
    in {
      inherit packages;
      manifest = builtins.toFile "Cargo.toml" ''
        workspace = ${toml (workspace.workspace // {
          members = map (n: members.${n}.folder) names;
          dependencies = builtins.intersectAttrs wanted workspace.workspace.dependencies;
        })}
        profile = ${toml { inherit (workspace.profile) release; }}
      '';
      lock = builtins.toFile "Cargo.lock" ("version = 4\n" + builtins.concatStringsSep "" (map entry
        (builtins.sort (a: b: a.name < b.name || a.name == b.name && builtins.compareVersions a.version b.version < 0) packages)));
    };

  # --- building ----------------------------------------------------------------------------------------
  source = name: builtins.path {
    name = "${name}-source";
    path = root + "/${members.${name}.folder}";
    # Tests and monitoring rules do not change the program, and its manifest is replaced by a shorter one.
    filter = path: _: let name = baseNameOf path; in
      ! builtins.elem name [ "tests" "tests.rs" "benches" "examples" "monitoring" "target" "Cargo.toml" "clippy.toml" "README.md" ]
      && builtins.match ".*_tests\\.rs" name == null;
  };

  # A member's manifest, without what only its tests need.
  lean = m: builtins.toFile "Cargo.toml" (builtins.concatStringsSep ""
    (map (n: "${builtins.toJSON n} = ${toml m.manifest.${n}}\n")
      (builtins.attrNames (removeAttrs m.manifest [ "dev-dependencies" "test" "bench" "example" ]))));

  # Empty files in place of targets: cargo compiles the dependencies of a member only if it has a library, and targets
  # that a manifest names have to exist.
  named = m: map (t: "${m.folder}/${t.path or "src/bin/${t.name}.rs"}") (m.manifest.bin or [ ]);
  empty = m: [ "${m.folder}/src/lib.rs" ] ++ named m;
  words = builtins.concatStringsSep " ";
  lines = builtins.concatStringsSep "\n";
  # `testing` is for tests and benchmarks, which no device runs: HTTPS for them alone takes a minute to compile.
  features = n: map (f: "${n}/${f}") (builtins.attrNames (removeAttrs (members.${n}.manifest.features or { }) [ "default" "testing" ]));

  # Shell lines that compile in a workspace of these members, and their environment. asked: the members that cargo is
  # asked to build, first the one whose programs are wanted. begun: a vendor folder to start from.
  workshop = { names, asked, target, static, begun ? "" }:
    let
      part = excerpt names;
      vendored = vendor { inherit (part) packages; inherit begun; };
      these = map (n: members.${n}) names;
    in {
      env = {
        inherit (part) manifest lock;
        manifests = map lean these;
        binds = "--ro-bind ${vendored} /vendor";
        inherit vendored;
      };

      # real: the members whose sources are present. compiled: archives of what was compiled before.
      setup = { real ? [ ], compiled ? [ ] }: ''
        # What cargo remembers of rustc would be in no fixed order.
        export CARGO_HOME=/build/cargo CARGO_INCREMENTAL=0 CARGO_CACHE_RUSTC_INFO=0
        mkdir -p $CARGO_HOME work
        cat > $CARGO_HOME/config.toml <<EOF
        env = ${toml config.env}
        [source.crates-io]
        replace-with = "vendored"
        [source.vendored]
        directory = "/vendor"
        [target.${target}]
        linker = "${if target == device then "aarch64-linux-gnu-gcc" else "gcc"}"
        rustflags = ${toml (if static then [ "-C" "target-feature=+crt-static" ] else [ ])}
        EOF
        cd work
        cp --no-preserve=mode $manifest Cargo.toml
        cp --no-preserve=mode $lock Cargo.lock
        set -- $manifests
        for folder in ${words (map (m: m.folder) these)}; do
          mkdir -p $folder; cp --no-preserve=mode $1 $folder/Cargo.toml; shift
        done
        ${lines (map (n: "cp -r --no-preserve=mode ${source n}/. ${members.${n}.folder}") real)}
        # Libraries only: programs of other members are not wanted.
        rm -rf ${words (map (n: "${members.${n}.folder}/src/{main.rs,bin}") (builtins.tail asked))}
        for file in ${words (builtins.concatMap (n: (if builtins.elem n real then named else empty) members.${n}) names)}; do
          [ -e $file ] || { mkdir -p ''${file%/*}; echo '#![allow(warnings)] fn main() {}' > $file; }
        done
        for earlier in ${words compiled}; do tar -x --zstd -f $earlier; done
        touch started
        # Offline, with nothing at hand but what the lock names, cargo can choose no other version.
        build() { cargo build --release --offline --target ${target} ${words (map (n: "-p ${n}") asked)} "$@" 2>&1; }
      '';

      # An archive of what was compiled here; of this workspace only these members, whose sources were present.
      pack = kept: ''
        for member in ${words (builtins.filter (n: ! builtins.elem n kept) names)}; do
          rm -rf target/${target}/release/{.fingerprint,deps,build}/{,lib}{$member,''${member//-/_}}{-*,.*}
        done
        find target/${target}/release -maxdepth 1 -type f -delete
        find target -newer started \( -type f -o -type d -empty \) > packed
        # What cargo notes of the files that a crate was made of is in no fixed order. Nobody edits them here: each
        # gets the note of one that was made of none worth noting.
        shortest=$(find target -path '*/.fingerprint/*/dep-*' -printf '%s %p\n' | sort -n | sed -n '1s/[0-9]* //p')
        sed -n '/\.fingerprint\/[^/]*\/dep-/p' packed | while read -r note; do [ $note -ef $shortest ] || cp $shortest $note; done
        tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1 -c -T packed | zstd -q -T0 -3 -o $out
      '';
    };

  device = "aarch64-unknown-linux-gnu";

  # The members that every image contains, or that its services are made of. Their dependencies are compiled together,
  # so that shared ones are compiled only once and no processor idles before the end. Each program for the device starts
  # from that. For shared dependencies to get the same features there, cargo is asked for these members again; but those
  # that the program is not made of are empty then, so that no edit of them recompiles the program.
  platform = [ "assemble" "kit" "lichenctl" ];
  unique = names: builtins.attrNames (builtins.listToAttrs (map (name: { inherit name; value = null; }) names));
  platformMembers = unique (builtins.concatMap local platform);
  platformShop = workshop { names = platformMembers; asked = platform; target = device; static = false; };
  platformDeps = dependencies { name = "platform"; shop = platformShop; of = platform; compiled = [ ]; };

  dependencies = { name, shop, of, compiled }: debian.inRust "${name}-deps.tar.zst" shop.env ''
    ${shop.setup { inherit compiled; }}
    # Whatever services may want of it: SQLite takes as long as all the rest, and begins here.
    build --features '${words (builtins.concatMap features of)}'
    ${shop.pack [ ]}
  '';

  program = { name, target ? device, static ? false }:
    let
      own = unique (local name);
      beside = target == device && ! static;
      shop = workshop ({
        inherit target static;
        names = unique (own ++ (if beside then platformMembers else [ ]));
        asked = [ name ] ++ (if beside then builtins.filter (n: n != name) platform else [ ]);
      } // (if beside then { begun = platformShop.env.vendored; } else { }));
      libraries = builtins.filter (n: n != name) own;
      first = if beside then [ platformDeps ] else [ ];
      deps = first ++ (if beside && builtins.elem name platform then [ ] else [ (dependencies { inherit name shop; of = [ name ]; compiled = first; }) ]);
      # So that an edit of a service does not compile the kit again.
      compiled = deps ++ (if libraries == [ ] then [ ] else [ (debian.inRust "${name}-libraries.tar.zst" shop.env ''
        ${shop.setup { real = libraries; compiled = deps; }}
        build
        ${shop.pack libraries}
      '') ]);
    in debian.inRust name shop.env ''
      ${shop.setup { real = own; inherit compiled; }}
      build
      mkdir -p $out/bin
      find target/${target}/release -maxdepth 1 -type f -perm -100 -exec cp -t $out/bin {} +
      ls -l $out/bin
    '';
in {
  inherit materials;

  # Programs for the build host.
  host = name: program { inherit name; target = "x86_64-unknown-linux-gnu"; };

  # Programs for the device; static ones run before there is a libc, or outside the image.
  device = builtins.mapAttrs
    (name: _: program { inherit name; static = builtins.elem name [ "assemble" "fake-hat" ]; })
    (removeAttrs members [ "tests" ]);
}
