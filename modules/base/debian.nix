# What Debian's maintainer scripts would have done below /etc; they never run. What they would have done below /usr
# is the image's part.
{ lib, config, ... }:
let
  inherit (lib) mkDefault;
  masked = { enable = false; };
  pam = lines: { text = lib.concatLines lines; };
  # One module decides; the others only fill the stack that PAM expects.
  stack = type: control: module: [
    "${type} [success=1 ${control}default=ignore] ${module}"
    "${type} requisite pam_deny.so"
    "${type} required pam_permit.so"
  ];
  session = [
    "session [default=1] pam_permit.so"
    "session requisite pam_deny.so"
    "session required pam_permit.so"
    "session required pam_unix.so"
  ];
in
{
  environment.etc = {
    # base-files, libc-bin
    "nsswitch.conf".text = ''
      passwd: files systemd
      group: files systemd
      shadow: files systemd
      gshadow: files systemd
      hosts: files myhostname resolve [!UNAVAIL=return] dns
      networks: files
      protocols: files
      services: files
      ethers: files
      rpc: files
    '';
    profile.text = ''
      export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
      export LANG=${config.i18n.defaultLocale}
      if [ -n "$BASH" ] && [ -r /etc/bash.bashrc ]; then . /etc/bash.bashrc; fi
      for i in /etc/profile.d/*.sh; do if [ -r "$i" ]; then . "$i"; fi; done
      unset i
    '';
    environment.text = "PATH=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin\"\n";
    shells.text = lib.concatLines [ "/bin/sh" "/usr/bin/sh" "/bin/bash" "/usr/bin/bash" "/bin/dash" "/usr/bin/dash" ];
    motd.text = mkDefault "";
    mtab.source = "/proc/self/mounts";

    # libpam-runtime: pam-auth-update's profiles unix and systemd
    "pam.d/common-auth" = pam (stack "auth" "" "pam_unix.so");
    "pam.d/common-account" = pam (stack "account" "new_authtok_reqd=done " "pam_unix.so");
    "pam.d/common-password" = pam (stack "password" "" "pam_unix.so obscure yescrypt");
    "pam.d/common-session" = pam (session ++ [ "session optional pam_systemd.so" ]);
    "pam.d/common-session-noninteractive" = pam session;
    # For programs without a PAM file of their own.
    "pam.d/other" = pam (map (type: "${type} required pam_deny.so") [ "auth" "account" "password" "session" ]);

    # The image is complete: nothing has to be regenerated because /usr is newer.
    ".updated".text = "";

    # Generators for what is not in the image: init scripts, and SSH on sockets that nobody declared.
    "systemd/system-generators/systemd-sysv-generator".source = "/dev/null";
    "systemd/system-generators/systemd-rc-local-generator".source = "/dev/null";
    "systemd/system-generators/systemd-ssh-generator".source = "/dev/null";
    # Partitions are mounted as declared, never because of their type.
    "systemd/system-generators/systemd-gpt-auto-generator".source = "/dev/null";
  };

  systemd.services = {
    # Units that complete a system at its first boot; the image is complete.
    systemd-firstboot = masked;
    systemd-sysusers = masked;
    systemd-update-done = masked;
    systemd-hwdb-update = masked;
    systemd-journal-catalog-update = masked;
    systemd-machine-id-commit = masked;
    ldconfig = masked;
    # DATA is grown by lichen-grow, which knows the layout.
    systemd-repart = masked;
    systemd-growfs-root = masked;
    # There is no TPM, no remote login to prompt, and the initrd has checked the file systems.
    systemd-pcrmachine = masked;
    systemd-pcrphase = masked;
    systemd-pcrphase-sysinit = masked;
    systemd-tpm2-setup = masked;
    systemd-tpm2-setup-early = masked;
    systemd-hibernate-clear = masked;
    e2scrub_reap = masked;
    # Without any password, nobody can use a login prompt.
    "getty@tty1" = {
      overrideStrategy = "asDropin";
      wantedBy = lib.optional (config.users.hashedPasswords != { }) "getty.target";
    };
    # Sessions are tracked, but only users who linger get a service manager of their own: it costs 10 MB and seconds
    # of every first login. (The class= of pam_systemd cannot do this: logins by SSH do not consult it.)
    "user@".unitConfig.ConditionPathExists = "/var/lib/systemd/linger/%i";
    # Devices are triggered as elsewhere, those that load the drivers of network cards first; but of buses, drivers and
    # modules, which are 1400 events beside 250 of devices, only the one that a rule is about. (The mounts that
    # 99-systemd.rules wants for two more are wanted by sysinit.target as well.)
    systemd-udev-trigger.serviceConfig.ExecStart = [
      ""
      "-udevadm trigger --type=subsystems --action=add --subsystem-match=module --sysname-match=block"
      "-udevadm trigger --type=devices --action=add --prioritized-subsystem=virtio,pci,block,tpmrm,net,tty,input"
    ];
    systemd-pstore.wantedBy = [ "sysinit.target" ];
  };
  systemd.timers.e2scrub_all = masked;
}
