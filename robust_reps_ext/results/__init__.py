"""Everything on disk: records, locks, snapshots, stores, figures, and the cox export."""
