"""What a domain says, checked and made ready to run. Pure; the thread that declares or opens."""
