"""What is said on the wire: chat messages, workflow files, events. Pure and sans-IO."""
