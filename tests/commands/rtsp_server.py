"""An RTSP server at 127.0.0.1 with one stream, /x: rtsp_server.py PORT USER PASSWORD (python3-gi, gir1.2-gst-rtsp-server-1.0)."""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

port, user, password = sys.argv[1:]
Gst.init(None)
for needed in ["jpegenc", "rtpjpegpay", "videotestsrc"]:
    if Gst.ElementFactory.find(needed) is None:
        sys.exit(f"GStreamer has no {needed}")
server = GstRtspServer.RTSPServer(service=port, address="127.0.0.1")
factory = GstRtspServer.RTSPMediaFactory(shared=True)
factory.set_launch(
    "( videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=15/1 ! jpegenc ! rtpjpegpay name=pay0 )"
)
token = GstRtspServer.RTSPToken()
token.set_string("media.factory.role", "user")
auth = GstRtspServer.RTSPAuth()
auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
server.set_auth(auth)
role, _ = Gst.Structure.from_string("user,media.factory.access=(boolean)true,media.factory.construct=(boolean)true")
factory.add_role_from_structure(role)
server.get_mount_points().add_factory("/x", factory)
server.attach(None)
GLib.MainLoop().run()
