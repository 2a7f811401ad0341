/* The states through which the two halves of a split device walk; each half writes its own into its "state"
 * node. */
#ifndef PUBLIC_IO_XENBUS_H
#define PUBLIC_IO_XENBUS_H

enum xenbus_state {
    XenbusStateUnknown = 0,
    XenbusStateInitialising = 1,
    XenbusStateInitWait = 2,    /* done with the first part, waits for what the other side publishes */
    XenbusStateInitialised = 3, /* everything published, waits for the connection */
    XenbusStateConnected = 4,
    XenbusStateClosing = 5,
    XenbusStateClosed = 6,
    XenbusStateReconfigured = 8
};

#endif
