lib: { }
