"""How data come from archives and folders into arrays, whatever the data set."""
