"""Drawing people and plotting what they did."""
