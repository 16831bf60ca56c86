"""A plain libtorrent, v2 alone, told what to do on its command line. Run by the Python that has
Debian's python3-libtorrent, so it imports nothing of ours.

    torrent_peer.py make FILE OUT PIECE_BYTES
    torrent_peer.py seed|get TORRENT FOLDER LISTEN tuned|default [PEER…]

seed and get print "ready", and end when their standard input does. get connects to its peers when
it reads the first line, prints {"finished": TIME} when it has all, and stays as a seed.

Settings: TCP alone, no encryption, nobody else is looked for. `tuned` adds what helped one fast
link and hurt slow ones. Debian's binding has no choice of the disk I/O: it is
the default by mmap, which was faster than the posix one.
"""

import json
import sys
import threading
import time

import libtorrent as lt

SETTINGS = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "out_enc_policy": 2,  # disabled
    "in_enc_policy": 2,
    "allow_multiple_connections_per_ip": True,
    "smooth_connects": False,
    "connection_speed": 500,
    "unchoke_slots_limit": -1,
    "mixed_mode_algorithm": 0,
    "rate_limit_ip_overhead": False,
    "tick_interval": 20,
    "request_queue_time": 2,
    "max_queued_disk_bytes": 256 << 20,
    "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification,
}
TUNED = {
    "request_queue_time": 10,
    "max_out_request_queue": 2000,
    "max_allowed_in_request_queue": 4000,
    "send_buffer_watermark": 8 << 20,
    "send_buffer_low_watermark": 1 << 20,
    "send_buffer_watermark_factor": 200,
    "send_socket_buffer_size": 4 << 20,
    "recv_socket_buffer_size": 4 << 20,
    "hashing_threads": 2,
    "aio_threads": 4,
}


def make(file: str, out: str, piece_bytes: str) -> None:
    storage = lt.file_storage()
    lt.add_files(storage, file)
    torrent = lt.create_torrent(storage, int(piece_bytes), lt.create_torrent.v2_only)
    lt.set_piece_hashes(torrent, file.rpartition("/")[0])
    with open(out, "wb") as writer:
        writer.write(lt.bencode(torrent.generate()))


def take_part(way: str, torrent: str, folder: str, listen: str, tuning: str, peers: list) -> None:
    settings = dict(SETTINGS, listen_interfaces=listen, **(TUNED if tuning == "tuned" else {}))
    session = lt.session(settings)
    wanted = lt.add_torrent_params()
    wanted.ti = lt.torrent_info(torrent)
    wanted.save_path = folder
    wanted.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if way == "seed":
        wanted.flags |= lt.torrent_flags.seed_mode
    handle = session.add_torrent(wanted)
    print("ready", flush=True)
    sys.stdin.readline()
    for peer in peers:
        address, _, port = peer.rpartition(":")
        handle.connect_peer((address, int(port)))
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    told = way == "seed"
    while not ended.is_set():
        session.wait_for_alert(5 if not told else 200)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.torrent_finished_alert) and not told:
                told = True
                print(json.dumps({"finished": time.time()}), flush=True)
            elif "error" in alert.what():
                print(alert.message(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(*sys.argv[2:])
    else:
        take_part(*sys.argv[1:6], sys.argv[6:])
