//! OpenSSH keys, SSHSIG, signed notes, HPKE and secrets.
