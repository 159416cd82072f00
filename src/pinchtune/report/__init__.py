"""One static page and its pictures: the tables first, then every prompt with the answers side by side."""
