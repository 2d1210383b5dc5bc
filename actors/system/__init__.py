"""The methods of `System`, one module for each of the things that a program does with it."""
