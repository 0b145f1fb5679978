"""Stories: a command language, what it makes two real cores say, and the stage they are played on."""
