"""orderd through redis-py, blocking: for those who have a Redis client already.

    python examples/redis_py_sync.py --socket PATH --symbol AAPL --price 187.25

Every id is chosen here, so that a command that is sent again, by this program or by redis-py, is done once.
"""

import argparse
import uuid

import redis


def run(orderd: "redis.Redis", symbol: str, price: str) -> None:
    """Places, changes, cancels; then reads what happened."""
    first_id = orderd.info("executions")["executions_last_id"]
    order_id = f"sync-{uuid.uuid4().hex}"

    # Pairs are a dict, as this is RESP3.
    order = orderd.execute_command("ORDER.NEW", order_id, symbol, "BUY", 100, "LIMIT", price, "TIF", "GTC")
    print(f"{order['cl_ord_id']}: {order['status']}, carried by {order['path']}")

    # Several commands in one write. transaction=False: each is answered for itself, errors too.
    pipeline = orderd.pipeline(transaction=False)
    pipeline.execute_command("ORDER.REPLACE", order_id, 80, price, "ID", f"{order_id}.r1")
    pipeline.execute_command("ORDER.CANCEL", order_id, "ID", f"{order_id}.c1")
    pipeline.execute_command("ORDER.NEW", f"{order_id}.bad", symbol, "BUY", 100, "LIMIT", "0")
    for reply in pipeline.execute(raise_on_error=False):
        # The first word of an error says what to do: docs/COMMANDS.md.
        print(f"refused: {reply}" if isinstance(reply, redis.ResponseError) else f"now {reply['status']}")

    # The stream is everybody's, and comes in pages; each page begins behind the last id of the one before.
    after = first_id
    while page := orderd.execute_command("EXEC.READ", after, "COUNT", 250):
        for exec_id, execution in page:
            if execution["cl_ord_id"] == order_id:
                print(f"execution {exec_id}: {execution['exec_type']}, {execution['leaves_qty']} left")
            after = exec_id


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--symbol", default="AAPL")
    parser.add_argument("--price", required=True)
    options = parser.parse_args()
    # A time-out longer than orderd's reply_timeout_ms of 5 s: within it orderd itself answers UNKNOWN.
    with redis.Redis(unix_socket_path=options.socket, protocol=3, decode_responses=True, socket_timeout=15) as orderd:
        run(orderd, options.symbol, options.price)


if __name__ == "__main__":
    main()
