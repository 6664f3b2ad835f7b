"""The matching engine at the other end of orderd's wire: a price-time-priority limit order book, over UDP and gRPC."""
