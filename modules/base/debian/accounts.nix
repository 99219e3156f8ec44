# The accounts of Debian's base-passwd, whose ids its policy fixes.
let
  system = uid: group: home: { inherit uid group home; };
in
{
  users = {
    root = system 0 "root" "/root" // { shell = "/bin/bash"; };
    daemon = system 1 "daemon" "/usr/sbin";
    bin = system 2 "bin" "/bin";
    sys = system 3 "sys" "/dev";
    sync = system 4 "nogroup" "/bin" // { shell = "/bin/sync"; };
    games = system 5 "games" "/usr/games";
    man = system 6 "man" "/var/cache/man";
    lp = system 7 "lp" "/var/spool/lpd";
    mail = system 8 "mail" "/var/mail";
    news = system 9 "news" "/var/spool/news";
    uucp = system 10 "uucp" "/var/spool/uucp";
    proxy = system 13 "proxy" "/bin";
    www-data = system 33 "www-data" "/var/www";
    backup = system 34 "backup" "/var/backups";
    list = system 38 "list" "/var/list";
    irc = system 39 "irc" "/run/ircd";
    _apt = system 42 "nogroup" "/nonexistent";
    nobody = system 65534 "nogroup" "/nonexistent";
  };
  groups = {
    root = 0;
    daemon = 1;
    bin = 2;
    sys = 3;
    adm = 4;
    tty = 5;
    disk = 6;
    lp = 7;
    mail = 8;
    news = 9;
    uucp = 10;
    man = 12;
    proxy = 13;
    kmem = 15;
    dialout = 20;
    fax = 21;
    voice = 22;
    cdrom = 24;
    floppy = 25;
    tape = 26;
    sudo = 27;
    audio = 29;
    dip = 30;
    www-data = 33;
    backup = 34;
    operator = 37;
    list = 38;
    irc = 39;
    src = 40;
    shadow = 42;
    utmp = 43;
    video = 44;
    sasl = 45;
    plugdev = 46;
    staff = 50;
    games = 60;
    users = 100;
    nogroup = 65534;
  };
}
