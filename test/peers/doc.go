// Package peers plays the same exchanges through the proxy and through nginx, Varnish and HAProxy.
package peers
