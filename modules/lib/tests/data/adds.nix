{ x = [ "added" ]; }
