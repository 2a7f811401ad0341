/* Sizes, offsets and constants of the split-driver ABI; compiled once with our headers and once with Xen's
 * own. */
#include <stddef.h>

#define SIZE(type)         {"sizeof " #type, sizeof(type)},
#define OFFSET(type, name) {#type "." #name, offsetof(type, name)},
#define VALUE(name)        {#name, (unsigned long long)(long long)(name)},

struct abi_fact {
    const char *name;
    unsigned long long value;
};

#define ABI_FACTS                                                                                            \
    SIZE(struct blkif_request)                                                                               \
    OFFSET(struct blkif_request, id)                                                                         \
    OFFSET(struct blkif_request, sector_number)                                                              \
    OFFSET(struct blkif_request, seg)                                                                        \
    SIZE(struct blkif_request_segment)                                                                       \
    OFFSET(struct blkif_request_segment, last_sect)                                                          \
    SIZE(struct blkif_request_discard)                                                                       \
    OFFSET(struct blkif_request_discard, flag)                                                               \
    OFFSET(struct blkif_request_discard, nr_sectors)                                                         \
    SIZE(struct blkif_request_indirect)                                                                      \
    OFFSET(struct blkif_request_indirect, nr_segments)                                                       \
    OFFSET(struct blkif_request_indirect, handle)                                                            \
    OFFSET(struct blkif_request_indirect, indirect_grefs)                                                    \
    SIZE(struct blkif_response)                                                                              \
    OFFSET(struct blkif_response, status)                                                                    \
    SIZE(union blkif_sring_entry)                                                                            \
    VALUE(BLKIF_OP_READ)                                                                                     \
    VALUE(BLKIF_OP_WRITE)                                                                                    \
    VALUE(BLKIF_OP_WRITE_BARRIER)                                                                            \
    VALUE(BLKIF_OP_FLUSH_DISKCACHE)                                                                          \
    VALUE(BLKIF_OP_DISCARD)                                                                                  \
    VALUE(BLKIF_OP_INDIRECT)                                                                                 \
    VALUE(BLKIF_DISCARD_SECURE)                                                                              \
    VALUE(BLKIF_MAX_SEGMENTS_PER_REQUEST)                                                                    \
    VALUE(BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST)                                                              \
    VALUE(BLKIF_RSP_OKAY)                                                                                    \
    VALUE(BLKIF_RSP_ERROR)                                                                                   \
    VALUE(BLKIF_RSP_EOPNOTSUPP)                                                                              \
    VALUE(VDISK_CDROM)                                                                                       \
    VALUE(VDISK_REMOVABLE)                                                                                   \
    VALUE(VDISK_READONLY)                                                                                    \
    SIZE(struct netif_tx_request)                                                                            \
    OFFSET(struct netif_tx_request, flags)                                                                   \
    OFFSET(struct netif_tx_request, size)                                                                    \
    SIZE(struct netif_tx_response)                                                                           \
    SIZE(struct netif_rx_request)                                                                            \
    OFFSET(struct netif_rx_request, gref)                                                                    \
    SIZE(struct netif_rx_response)                                                                           \
    OFFSET(struct netif_rx_response, status)                                                                 \
    SIZE(struct netif_extra_info)                                                                            \
    OFFSET(struct netif_extra_info, u.gso.features)                                                          \
    OFFSET(struct netif_extra_info, u.hash.value)                                                            \
    SIZE(union netif_tx_sring_entry)                                                                         \
    SIZE(union netif_rx_sring_entry)                                                                         \
    SIZE(union xen_netif_ctrl_sring_entry)                                                                   \
    SIZE(struct xen_netif_ctrl_request)                                                                      \
    SIZE(struct xen_netif_ctrl_response)                                                                     \
    OFFSET(struct xen_netif_ctrl_response, data)                                                             \
    SIZE(struct xen_netif_gref)                                                                              \
    VALUE(NETTXF_csum_blank)                                                                                 \
    VALUE(NETTXF_data_validated)                                                                             \
    VALUE(NETTXF_more_data)                                                                                  \
    VALUE(NETTXF_extra_info)                                                                                 \
    VALUE(NETRXF_csum_blank)                                                                                 \
    VALUE(NETRXF_data_validated)                                                                             \
    VALUE(NETRXF_more_data)                                                                                  \
    VALUE(NETRXF_extra_info)                                                                                 \
    VALUE(NETRXF_gso_prefix)                                                                                 \
    VALUE(NETIF_RSP_DROPPED)                                                                                 \
    VALUE(NETIF_RSP_ERROR)                                                                                   \
    VALUE(NETIF_RSP_OKAY)                                                                                    \
    VALUE(NETIF_RSP_NULL)                                                                                    \
    VALUE(XEN_NETIF_EXTRA_TYPE_GSO)                                                                          \
    VALUE(XEN_NETIF_EXTRA_TYPE_MCAST_ADD)                                                                    \
    VALUE(XEN_NETIF_EXTRA_TYPE_MCAST_DEL)                                                                    \
    VALUE(XEN_NETIF_EXTRA_TYPE_HASH)                                                                         \
    VALUE(XEN_NETIF_EXTRA_TYPE_MAX)                                                                          \
    VALUE(XEN_NETIF_EXTRA_FLAG_MORE)                                                                         \
    VALUE(XEN_NETIF_GSO_TYPE_TCPV4)                                                                          \
    VALUE(XEN_NETIF_GSO_TYPE_TCPV6)                                                                          \
    VALUE(XEN_NETIF_NR_SLOTS_MIN)                                                                            \
    VALUE(XEN_NETIF_MAX_TX_SIZE)                                                                             \
    VALUE(XEN_NETIF_CTRL_HASH_TYPE_IPV4)                                                                     \
    VALUE(XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP)                                                                 \
    VALUE(XEN_NETIF_CTRL_HASH_TYPE_IPV6)                                                                     \
    VALUE(XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP)                                                                 \
    VALUE(XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ)                                                            \
    VALUE(XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS)                                                                \
    VALUE(XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS)                                                                \
    VALUE(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY)                                                                  \
    VALUE(XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE)                                                         \
    VALUE(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE)                                                         \
    VALUE(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING)                                                              \
    VALUE(XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM)                                                            \
    VALUE(XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE)                                                         \
    VALUE(XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING)                                                              \
    VALUE(XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING)                                                              \
    VALUE(XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED)                                                               \
    VALUE(XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER)                                                           \
    VALUE(XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW)                                                             \
    SIZE(struct xencons_interface)                                                                           \
    OFFSET(struct xencons_interface, out)                                                                    \
    OFFSET(struct xencons_interface, in_cons)                                                                \
    OFFSET(struct xencons_interface, out_prod)                                                               \
    SIZE(struct xenstore_domain_interface)                                                                   \
    OFFSET(struct xenstore_domain_interface, rsp)                                                            \
    OFFSET(struct xenstore_domain_interface, req_cons)                                                       \
    OFFSET(struct xenstore_domain_interface, rsp_prod)                                                       \
    OFFSET(struct xenstore_domain_interface, server_features)                                                \
    OFFSET(struct xenstore_domain_interface, connection)                                                     \
    OFFSET(struct xenstore_domain_interface, error)                                                          \
    SIZE(struct xsd_sockmsg)                                                                                 \
    VALUE(XS_DIRECTORY)                                                                                      \
    VALUE(XS_READ)                                                                                           \
    VALUE(XS_WATCH)                                                                                          \
    VALUE(XS_WRITE)                                                                                          \
    VALUE(XS_WATCH_EVENT)                                                                                    \
    VALUE(XS_ERROR)                                                                                          \
    VALUE(XS_SET_TARGET)                                                                                     \
    VALUE(XS_RESET_WATCHES)                                                                                  \
    VALUE(XS_DIRECTORY_PART)                                                                                 \
    VALUE(XS_TYPE_COUNT)                                                                                     \
    VALUE(XENSTORE_PAYLOAD_MAX)                                                                              \
    VALUE(XENSTORE_ABS_PATH_MAX)                                                                             \
    VALUE(XenbusStateInitialising)                                                                           \
    VALUE(XenbusStateInitWait)                                                                               \
    VALUE(XenbusStateConnected)                                                                              \
    VALUE(XenbusStateClosed)                                                                                 \
    VALUE(XenbusStateReconfigured)

extern const struct abi_fact abi_ours[], abi_xens[];
extern const size_t abi_ours_count;
