"""The pair as a Pacemaker cluster, and back: ha.cf and haresources as a CIB, as pcs and as crm commands."""
